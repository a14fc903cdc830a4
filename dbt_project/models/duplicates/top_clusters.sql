-- The 200 largest clusters of duplicates: what was kept, how much was dropped, how alike it was.
select
    level, survivor, kept_repository, kept_path,
    count(distinct unit) + 1 as units,
    count(distinct repository) as repositories,
    count(*) as dropped_files,
    count(*) filter (where reason like 'exact%') as exact_files,
    coalesce(sum(size_bytes), 0)::bigint as dropped_bytes,
    min(similarity) as lowest_similarity,
    avg(similarity) as mean_similarity,
    mode(language order by language) as language
from {{ ref('duplicate_clusters') }}
group by level, survivor, kept_repository, kept_path
order by units desc, dropped_bytes desc, survivor
limit 200
