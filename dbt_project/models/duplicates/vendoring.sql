-- Who vendors whom: files of one repository that were dropped because another repository holds
-- them. The keep rule (stars, then commit time) decides which of the two counts as the original.
with sizes as (
    select repository, count(*) as files
    from {{ source('lake', 'exact_deduped_code_decisions') }}
    group by repository
)
select
    d.repository, d.kept_repository,
    count(*) as dropped_files,
    count(*) filter (where d.reason like 'exact%') as exact_files,
    coalesce(sum(d.size_bytes), 0)::bigint as dropped_bytes,
    count(*) / any_value(s.files) as share_of_repository,
    avg(d.similarity) as mean_similarity
from {{ ref('duplicate_clusters') }} d
join sizes s on s.repository = d.repository
where d.repository != d.kept_repository
group by d.repository, d.kept_repository
order by dropped_files desc, d.repository, d.kept_repository
