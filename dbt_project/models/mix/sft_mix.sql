-- Which example sets each instruction-tuning run reads, by strategy (paper 6.4).
-- two_stage    stage 1, then stage 2 (the paper's choice)
-- stage1_only  stage 1 alone
-- stage2_only  stage 2 alone, from the base model
-- mixed        one run over both sets, shuffled
-- reversed     stage 2, then stage 1
-- progressive  one run over both sets, the share of stage 2 rising from none to all
{% set strategy = var('sft_strategy') %}
{% set first, second = 'sft_stage1_model', 'sft_stage2_model' %}
{% set strategies = {
    'two_stage': [(first, 'stage1'), (second, 'stage2')],
    'stage1_only': [(first, 'stage1')],
    'stage2_only': [(second, 'stage2')],
    'mixed': [(second, 'stage1'), (second, 'stage2')],
    'reversed': [(first, 'stage2'), (second, 'stage1')],
    'progressive': [(second, 'stage1'), (second, 'stage2')],
} %}
{% if strategy not in strategies %}
{{ exceptions.raise_compiler_error('sft_strategy: expected one of ' ~ strategies | join(', ') ~ ', found ' ~ strategy) }}
{% endif %}
with sets as (
    select 'stage1' as example_set, (select count(*) from {{ source('lake', 'sft_stage1_set_examples') }}) as examples
    union all
    select 'stage2', (select count(*) from {{ source('lake', 'sft_stage2_set_examples') }})
),
runs as (
    {% for run, example_set in strategies[strategy] %}
    select '{{ run }}' as run, '{{ example_set }}' as example_set
    {{ 'union all' if not loop.last }}
    {% endfor %}
)
select '{{ strategy }}' as strategy, run, example_set, examples
from runs join sets using (example_set)
order by run, example_set
