"""RefineCode: select, deduplicate, transform, filter and sample raw code (paper section 2.1.1)."""
