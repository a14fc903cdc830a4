-- The scores of the variants that a study names: one row a study, variant, seed and metric.
with variants as (
    {% if var('studies', []) %}
    {% for row in var('studies') %}
    select '{{ row.study }}' as study, '{{ row.group }}' as variant_group, '{{ row.variant }}' as recipe,
        {{ row.seed }} as seed, '{{ row.asset }}' as asset, '{{ row.benchmark }}' as benchmark, '{{ row.metric }}' as metric
    {{ 'union all' if not loop.last }}
    {% endfor %}
    {% else %}
    select null::varchar as study, null::varchar as variant_group, null::varchar as recipe,
        null::int as seed, null::varchar as asset, null::varchar as benchmark, null::varchar as metric
    where false
    {% endif %}
)
select v.study, v.variant_group, v.seed, v.recipe, v.asset, v.benchmark, v.metric,
    s.value, s.low, s.high, s.n
from variants v
join {{ ref('scoreboard') }} s using (recipe, asset, benchmark, metric)
order by study, benchmark, metric, variant_group, seed
