-- The answer of a study: mean over seeds of each group, and its spread.
select
    study, benchmark, metric, variant_group,
    count(*) as seeds,
    avg(value) as mean,
    min(value) as lowest,
    max(value) as highest,
    stddev_samp(value) as standard_deviation,
    avg(value) - min(avg(value)) over (partition by study, benchmark, metric) as above_lowest_mean
from {{ ref('study_results') }}
group by study, benchmark, metric, variant_group
order by study, benchmark, metric, mean
