-- Every file that was dropped as a duplicate lies in one cluster, whose survivor was not dropped;
-- and the sizes of clusters account for all of them.
{{ config(tags=['mix'], meta={'dagster': {'ref': {'name': 'cluster_sizes'}}}) }}
select 'duplicates in clusters' as broken, dropped.files as expected, clusters.files as found
from (select count(*) as files from {{ ref('stg_duplicates') }}) dropped,
    (select count(*) as files from {{ ref('duplicate_clusters') }}) clusters
where dropped.files != clusters.files
union all
select 'dropped files in sizes', clusters.files, sizes.files
from (select count(*) as files from {{ ref('duplicate_clusters') }}) clusters,
    (select coalesce(sum(dropped_files), 0) as files from {{ ref('cluster_sizes') }}) sizes
where clusters.files != sizes.files
union all
select 'survivors that were dropped', 0, count(*)
from {{ ref('duplicate_clusters') }}
where survivor in (select doc_id from {{ ref('stg_duplicates') }} where survivor != doc_id)
having count(*) > 0
