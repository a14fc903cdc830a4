-- Why files were dropped, by stage, reason and language.
select
    stage_order, stage, reason, language,
    count(*) as files, coalesce(sum(size_bytes), 0)::bigint as bytes
from {{ ref('stg_decisions') }}
where verdict = 'dropped'
group by stage_order, stage, reason, language
order by stage_order, files desc, reason, language
