-- Weight of each source of the annealing phase (paper table 3). A source without text gives its
-- share to the corpus, so that the weights always sum to 1.
{% set mix = var('anneal_mix') %}
with sources as (
    select 'corpus' as source, {{ mix.get('corpus', 0) }}::double as wanted,
        (select coalesce(sum(size_bytes), 0) from {{ source('lake', 'sampled_corpus_documents') }}) as bytes
    union all
    select 'algorithmic', {{ mix.get('algorithmic', 0) }}::double,
        (select coalesce(sum(size_bytes), 0) from {{ source('lake', 'algorithmic_corpus_documents') }})
    union all
    select 'snippets', {{ mix.get('snippets', 0) }}::double,
        (select coalesce(sum(size_bytes), 0) from {{ source('lake', 'verified_snippets_documents') }})
)
select
    source,
    bytes::bigint as bytes,
    wanted,
    case
        when source = 'corpus' then 1 - sum(case when source != 'corpus' and bytes > 0 then wanted else 0 end) over ()
        when bytes > 0 then wanted
        else 0
    end as weight
from sources
order by source
