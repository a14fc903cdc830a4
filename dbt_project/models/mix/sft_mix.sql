-- Which example sets each instruction-tuning run reads, by strategy (paper 6.4).
{% set strategy = var('sft_strategy') %}
with sets as (
    select 'stage1' as example_set, (select count(*) from {{ source('lake', 'sft_stage1_set_examples') }}) as examples
    union all
    select 'stage2', (select count(*) from {{ source('lake', 'sft_stage2_set_examples') }})
),
runs as (
    {% if strategy == 'two_stage' %}
    select 'sft_stage1_model' as run, 'stage1' as example_set
    union all select 'sft_stage2_model', 'stage2'
    {% elif strategy == 'stage1_only' %}
    select 'sft_stage1_model' as run, 'stage1' as example_set
    {% elif strategy == 'mixed' %}
    select 'sft_stage2_model' as run, 'stage1' as example_set
    union all select 'sft_stage2_model', 'stage2'
    {% else %}
    {{ exceptions.raise_compiler_error('sft_strategy: expected two_stage, stage1_only or mixed, found ' ~ strategy) }}
    {% endif %}
)
select '{{ strategy }}' as strategy, run, example_set, examples
from runs join sets using (example_set)
order by run, example_set
