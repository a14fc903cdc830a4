-- What the filtered crawl is made of, by language.
select
    language,
    any_value(doc_type) as doc_type,
    count(*) as files,
    count(distinct repository) as repositories,
    sum(size_bytes)::bigint as bytes,
    sum(size_bytes) / sum(sum(size_bytes)) over () as share_of_bytes
from {{ ref('stg_filtered_documents') }}
group by language
order by bytes desc, language
