-- How large clusters of duplicates are: units in a cluster (files, or repositories where whole
-- repositories are compared), the one that stays included.
with clusters as (
    select level, survivor, count(distinct unit) + 1 as units, count(*) as dropped_files,
        coalesce(sum(size_bytes), 0)::bigint as dropped_bytes
    from {{ ref('duplicate_clusters') }}
    group by level, survivor
)
select
    level, units, count(*) as clusters,
    sum(dropped_files)::bigint as dropped_files,
    sum(dropped_bytes)::bigint as dropped_bytes
from clusters
group by level, units
order by level, units
