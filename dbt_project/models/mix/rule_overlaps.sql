-- Pairs of filter rules that fire on the same files. `share_of_rule` near 1 says that `rule` hardly
-- drops anything that `other_rule` would not drop as well.
with fired as (
    select doc_id, size_bytes, len(rules) as rules_fired, unnest(rules) as rule
    from {{ ref('stg_filter_verdicts') }}
),
hits as (
    select rule, count(*) as files from fired group by rule
),
pairs as (
    select
        a.rule, b.rule as other_rule,
        count(*) as files,
        sum(a.size_bytes)::bigint as bytes,
        count(*) filter (where a.rules_fired = 2) as pair_alone_files,
        coalesce(sum(a.size_bytes) filter (where a.rules_fired = 2), 0)::bigint as pair_alone_bytes
    from fired a join fired b using (doc_id)
    where a.rule < b.rule
    group by a.rule, b.rule
)
select
    p.rule, p.other_rule, p.files, p.bytes, p.pair_alone_files, p.pair_alone_bytes,
    p.files / a.files as share_of_rule,
    p.files / b.files as share_of_other_rule,
    p.files / (a.files + b.files - p.files) as jaccard
from pairs p
join hits a on a.rule = p.rule
join hits b on b.rule = p.other_rule
order by p.files desc, p.rule, p.other_rule
