-- What each filter rule does to each language: files that it drops, and files that it alone drops
-- (which would be kept without it).
with judged as (
    select language, count(*) as files, coalesce(sum(size_bytes), 0)::bigint as bytes
    from {{ ref('stg_filter_verdicts') }}
    group by language
),
fired as (
    select language, size_bytes, len(rules) as rules_fired, unnest(rules) as rule
    from {{ ref('stg_filter_verdicts') }}
),
counted as (
    select
        language, rule,
        count(*) as hit_files,
        sum(size_bytes)::bigint as hit_bytes,
        count(*) filter (where rules_fired = 1) as alone_files,
        coalesce(sum(size_bytes) filter (where rules_fired = 1), 0)::bigint as alone_bytes
    from fired
    group by language, rule
)
select
    language, rule, files, bytes, hit_files, hit_bytes, alone_files, alone_bytes,
    hit_files / files as share_of_files,
    hit_bytes / greatest(bytes, 1) as share_of_bytes
from counted join judged using (language)
order by language, hit_files desc, rule
