-- What the filter said about each file it judged: kept or not, and the rules that fired on it.
select doc_id, repository, path, language, doc_type, size_bytes, kept, list_distinct(rules) as rules
from {{ source('lake', 'filtered_code_signals') }}
