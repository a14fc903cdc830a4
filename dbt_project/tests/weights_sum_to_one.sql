{{ config(tags=['mix']) }}
select sum(weight) as total from {{ ref('anneal_mix') }} having abs(sum(weight) - 1) > 1e-9
