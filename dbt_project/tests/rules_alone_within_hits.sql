-- No rule drops alone more than it hits, or hits more than there is; no rule fires on a kept file;
-- and what rules drop alone is at most what was dropped.
{{ config(tags=['mix'], meta={'dagster': {'ref': {'name': 'rule_report'}}}) }}
select language, rule, 'alone <= hit <= all' as broken
from {{ ref('rule_report') }}
where not (alone_files <= hit_files and hit_files <= files)
    or not (alone_bytes <= hit_bytes and hit_bytes <= bytes)
union all
select language, path, 'kept means no rule fired'
from {{ ref('stg_filter_verdicts') }}
where kept and len(rules) > 0
union all
select language, null, 'dropped alone <= dropped'
from (
    select language, sum(alone_files) as alone from {{ ref('rule_report') }} group by language
)
join (
    select language, count(*) filter (where not kept) as dropped
    from {{ ref('stg_filter_verdicts') }} group by language
) using (language)
where alone > dropped
