-- What every stage did to every file. Funnel order is the order of the stages.
{% set stages = [
    'raw_code', 'selected_code', 'exact_deduped_code', 'fuzzy_deduped_code',
    'transformed_code', 'filtered_code', 'sampled_corpus',
] %}
{% for stage in stages %}
select {{ loop.index }} as stage_order, '{{ stage }}' as stage, doc_id, verdict, reason, detail,
       repository, path, language, size_bytes
from {{ source('lake', stage ~ '_decisions') }}
{% if not loop.last %}union all{% endif %}
{% endfor %}
