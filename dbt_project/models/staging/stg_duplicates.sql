-- What deduplication dropped: one row a file and the unit that stayed for it. A unit is a file (its
-- doc_id) or, where whole repositories were compared, a repository: its name, with `:language` where
-- only files of one language were.
with dropped as (
    {% for stage in ['exact_deduped_code', 'fuzzy_deduped_code'] %}
    select {{ loop.index }} as stage_order, '{{ stage }}' as stage, doc_id, reason,
        regexp_extract(detail, 'duplicate_of=(.*?)( [a-z_]+=|$)', 1) as survivor,
        try_cast(regexp_extract(detail, '(?:jaccard|similarity)=([0-9.]+)', 1) as double) as similarity,
        repository, path, language, size_bytes
    from {{ source('lake', stage ~ '_decisions') }}
    where verdict = 'dropped' and detail like '%duplicate_of=%'
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)
select
    stage_order, stage, doc_id, reason,
    case when regexp_full_match(survivor, '[0-9a-f]{64}') then 'file' else 'repository' end as level,
    case
        when level = 'file' then doc_id
        when ends_with(survivor, ':' || language) then repository || ':' || language
        else repository
    end as unit,
    survivor, similarity, repository, path, language, size_bytes
from dropped
