{#- Which artifact each asset of each recipe holds: the handle files of all partitions, or nothing. -#}
{% macro ledger() -%}
    {% set columns = "asset varchar, partition varchar, stage varchar, fingerprint varchar, digest varchar, path varchar" %}
    {% if var('ledger') %}
    select asset, partition, stage, fingerprint, digest, path
    from read_json('{{ var("ledger") }}', columns = {
        {% for column in columns.split(', ') %}'{{ column.split(' ')[0] }}': '{{ column.split(' ')[1] }}'{{ ', ' if not loop.last }}{% endfor %}
    })
    {% else %}
    select {% for column in columns.split(', ') %}null::varchar as {{ column.split(' ')[0] }}{{ ', ' if not loop.last }}{% endfor %}
    where false
    {% endif %}
{%- endmacro %}
