-- What one stage keeps is what the next one sees.
{{ config(tags=['mix']) }}
select f.stage, f.files_in, p.kept_files as kept_before
from {{ ref('funnel') }} f
join {{ ref('funnel') }} p on p.stage_order = f.stage_order - 1
where f.files_in != p.kept_files
