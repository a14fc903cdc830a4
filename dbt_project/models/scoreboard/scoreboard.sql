-- Every score of every recipe and variant, with its interval and the model it belongs to.
-- depends_on: {{ source('scores', 'base_scores') }}
-- depends_on: {{ source('scores', 'chat_scores') }}
-- depends_on: {{ source('scores', 'teacher_scores') }}
with ledger as (
    {{ ledger() }}
),
scores as (
    {% if var('scores', '') %}
    select *, regexp_extract(filename, '/([0-9a-f]{32})/scores/', 1) as fingerprint
    from read_parquet('{{ var("scores") }}', filename = true, union_by_name = true)
    {% else %}
    select null::varchar as benchmark, null::varchar as metric, null::double as value,
        null::double as low, null::double as high, null::bigint as n, null::varchar as model,
        null::varchar as fingerprint
    where false
    {% endif %}
)
select
    ledger.partition as recipe,
    split_part(ledger.partition, '~', 1) as base_recipe,
    ledger.asset,
    scores.model,
    scores.benchmark,
    scores.metric,
    scores.value,
    scores.low,
    scores.high,
    scores.n,
    ledger.fingerprint,
    ledger.digest
from scores join ledger using (fingerprint)
order by recipe, asset, benchmark, metric
