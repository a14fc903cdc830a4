-- Every file that deduplication dropped, with the unit that stays for it in the end: the survivor
-- of an exact group may itself be a near-duplicate of another file, so survivors are followed. The
-- similarity is the one to that unit. The kept repository and path are null where the survivor is a
-- file of an earlier crawl.
with recursive survivors as (
    select unit as name, survivor, similarity from {{ ref('stg_duplicates') }}
    union
    select doc_id, survivor, similarity from {{ ref('stg_duplicates') }}
),
followed as (
    select name, survivor from survivors
    union
    select f.name, s.survivor from followed f join survivors s on s.name = f.survivor
),
-- A file that an earlier crawl has, too, survives itself.
ends as (
    select distinct name, survivor,
        case when regexp_full_match(survivor, '[0-9a-f]{64}') then 'file' else 'repository' end as level
    from followed
    where survivor not in (select name from survivors where name != survivor)
),
alike as (
    select name, any_value(similarity) as similarity from survivors group by name
),
seen as (
    select doc_id, repository, path, language, size_bytes
    from {{ source('lake', 'exact_deduped_code_decisions') }}
)
select
    e.level, e.survivor, d.doc_id, d.unit, d.reason,
    case
        when d.survivor = e.survivor then d.similarity
        when d.reason like 'exact%' then alike.similarity
    end as similarity,
    d.repository, d.path, d.language, d.size_bytes,
    case when e.level = 'file' then kept.repository
        else regexp_replace(e.survivor, ':' || regexp_escape(d.language) || '$', '')
    end as kept_repository,
    kept.path as kept_path
from {{ ref('stg_duplicates') }} d
join ends e on e.name = d.unit
left join alike on alike.name = d.survivor
left join seen kept on kept.doc_id = e.survivor and e.survivor != d.doc_id
order by e.survivor, d.doc_id
