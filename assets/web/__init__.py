"""The web branch: text extracted from crawled pages (paper 2.1.2)."""
