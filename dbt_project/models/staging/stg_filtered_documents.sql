-- Candidates of the corpus: one row a file that passed the filters.
select doc_id, repository, path, language, doc_type, license, size_bytes
from {{ source('lake', 'filtered_code_documents') }}
