-- The plan never spends more than the recipe allows, nor more than there is.
{{ config(tags=['plan']) }}
select sum(budget_bytes) as spent
from {{ ref('sampling_plan') }}
having {% if var('total_bytes') is none %} false {% else %} sum(budget_bytes) > {{ var('total_bytes') }} {% endif %}
    or max(budget_bytes - available_bytes) > 0
