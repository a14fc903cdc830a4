-- Byte budget of each language (paper 2.1.1: Java and HTML are cut, the rest is kept).
-- A language gets at most its own budget where the recipe names one. With total_bytes, languages
-- share it in proportion to what they have; one that would get more than max_language_share gets
-- just that, and the others share the rest.
{% set total = var('total_bytes') %}
{% set named = var('language_bytes') %}
with available as (
    select language, bytes,
        {% if named %}
        least(bytes, case language
            {% for language, budget in named.items() %}
            when '{{ language }}' then {{ budget }}
            {% endfor %}
            else bytes
        end)::bigint
        {% else %}
        bytes
        {% endif %} as ceiling_bytes
    from {{ ref('composition') }}
)
{% if total is none %}
select language, bytes as available_bytes,
    case when ceiling_bytes = bytes then null else ceiling_bytes end::bigint as budget_bytes
from available
order by language
{% else %}
, shares as (
    select *, ceiling_bytes / sum(ceiling_bytes) over () > {{ var('max_language_share') }} as is_large
    from available
),
large as (
    select *, least(ceiling_bytes, {{ total }} * {{ var('max_language_share') }}) as share_bytes
    from shares where is_large
),
others as (
    select *,
        least(ceiling_bytes,
            ({{ total }} - (select coalesce(sum(share_bytes), 0) from large))
            * ceiling_bytes / sum(ceiling_bytes) over ()) as share_bytes
    from shares where not is_large
)
select language, bytes as available_bytes, floor(share_bytes)::bigint as budget_bytes
from (from large union all from others)
order by language
{% endif %}
