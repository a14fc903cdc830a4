-- Which share of each language deduplication dropped, exactly and nearly equal.
with seen as (
    select language, count(*) as files, coalesce(sum(size_bytes), 0)::bigint as bytes
    from {{ source('lake', 'exact_deduped_code_decisions') }}
    group by language
),
dropped as (
    select
        language,
        count(*) filter (where stage = 'exact_deduped_code') as exact_files,
        count(*) filter (where stage = 'fuzzy_deduped_code') as near_files,
        coalesce(sum(size_bytes), 0)::bigint as dropped_bytes
    from {{ ref('stg_duplicates') }}
    group by language
)
select
    language, files, bytes,
    coalesce(exact_files, 0) as exact_files,
    coalesce(near_files, 0) as near_files,
    coalesce(dropped_bytes, 0) as dropped_bytes,
    coalesce(exact_files, 0) / files as exact_rate,
    coalesce(near_files, 0) / files as near_rate,
    coalesce(dropped_bytes, 0) / greatest(bytes, 1) as dropped_byte_rate
from seen left join dropped using (language)
order by files desc, language
