{#- The tables of the lake that this project reads, with their columns, so that a table which a
    recipe does not have (yet) is an empty view and not an error. -#}
{% macro lake_tables() -%}
    {% set documents = 'doc_id varchar, repository varchar, path varchar, language varchar, doc_type varchar, license varchar, size_bytes bigint' %}
    {% set decisions = 'doc_id varchar, stage varchar, verdict varchar, reason varchar, detail varchar, repository varchar, path varchar, language varchar, size_bytes bigint' %}
    {% set verdicts = 'doc_id varchar, repository varchar, path varchar, language varchar, doc_type varchar, size_bytes bigint, kept boolean, rules varchar[]' %}
    {% set examples = 'example_id varchar, repository varchar, kind varchar' %}
    {% set scores = 'benchmark varchar, metric varchar, value double, low double, high double, n bigint, model varchar, chat boolean' %}
    {{ return({
        'raw_code_documents': documents,
        'raw_code_decisions': decisions,
        'selected_code_documents': documents,
        'selected_code_decisions': decisions,
        'exact_deduped_code_documents': documents,
        'exact_deduped_code_decisions': decisions,
        'fuzzy_deduped_code_documents': documents,
        'fuzzy_deduped_code_decisions': decisions,
        'transformed_code_documents': documents,
        'transformed_code_decisions': decisions,
        'filtered_code_documents': documents,
        'filtered_code_decisions': decisions,
        'filtered_code_signals': verdicts,
        'sampled_corpus_documents': documents,
        'sampled_corpus_decisions': decisions,
        'algorithmic_corpus_documents': documents,
        'verified_snippets_documents': documents,
        'sft_stage1_set_examples': examples,
        'sft_stage2_set_examples': examples,
    }) }}
{%- endmacro %}

{#- Run first: one view a table of the lake, over the parquet files named in the variable `lake`. -#}
{% macro create_lake_views() -%}
    {% if execute %}
        {% set schema = var('recipe_schema') ~ '_lake' %}
        {% do run_query('create schema if not exists "' ~ schema ~ '"') %}
        {% for name, columns in lake_tables().items() %}
            {% set files = var('lake').get(name) %}
            {% if files %}
                {% set wanted = [] %}
                {% for column in columns.split(', ') %}{% do wanted.append(column.split(' ')[0]) %}{% endfor %}
                {% set query = "select " ~ wanted | join(', ') ~ " from read_parquet('" ~ files ~ "')" %}
            {% else %}
                {% set empty = [] %}
                {% for column in columns.split(', ') %}
                    {% do empty.append('null::' ~ column.split(' ')[1] ~ ' as ' ~ column.split(' ')[0]) %}
                {% endfor %}
                {% set query = 'select ' ~ empty | join(', ') ~ ' where false' %}
            {% endif %}
            {% do run_query('create or replace view "' ~ schema ~ '"."' ~ name ~ '" as ' ~ query) %}
        {% endfor %}
    {% endif %}
{%- endmacro %}
