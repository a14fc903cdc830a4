-- How many files and bytes each stage kept: the funnel from crawl to corpus.
with counted as (
    select
        stage_order, stage,
        count(*) filter (where verdict != 'dropped') as kept_files,
        count(*) filter (where verdict = 'changed') as changed_files,
        count(*) filter (where verdict = 'dropped') as dropped_files,
        coalesce(sum(size_bytes) filter (where verdict != 'dropped'), 0)::bigint as kept_bytes,
        coalesce(sum(size_bytes) filter (where verdict = 'dropped'), 0)::bigint as dropped_bytes
    from {{ ref('stg_decisions') }}
    group by stage_order, stage
)
select
    stage_order, stage,
    kept_files + dropped_files as files_in,
    kept_files, changed_files, dropped_files, kept_bytes, dropped_bytes
from counted
order by stage_order
