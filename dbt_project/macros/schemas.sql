{#- Models of one recipe live in a schema of their own; marts over all recipes in `marts`. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name if custom_schema_name else var('recipe_schema') }}
{%- endmacro %}
