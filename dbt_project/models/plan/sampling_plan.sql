-- Byte budget of each language (paper 2.1.1: Java and HTML are cut, the rest is kept).
-- A language gets its own budget where the recipe names one; what is left of total_bytes is shared
-- in proportion to what is available, no language above max_language_share.
{% set total = var('total_bytes') %}
{% set named = var('language_bytes') %}
with available as (
    select language, bytes from {{ ref('composition') }}
),
named as (
    select language, bytes,
        {% if named %}
        case language
            {% for language, budget in named.items() %}
            when '{{ language }}' then {{ budget }}
            {% endfor %}
        end::bigint
        {% else %}
        null::bigint
        {% endif %} as named_bytes
    from available
),
capped as (
    select *,
        least(
            bytes,
            coalesce(named_bytes, bytes)
            {% if total is not none %}, ({{ total }} * {{ var('max_language_share') }})::bigint{% endif %}
        ) as ceiling_bytes
    from named
)
select
    language,
    bytes as available_bytes,
    {% if total is none %}
    case when ceiling_bytes = bytes then null else ceiling_bytes end::bigint
    {% else %}
    least(
        ceiling_bytes,
        floor({{ total }} * ceiling_bytes / greatest(sum(ceiling_bytes) over (), {{ total }}))
    )::bigint
    {% endif %} as budget_bytes
from capped
order by language
