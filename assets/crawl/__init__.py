"""Sources of raw material: package registries, local folders, git checkouts; raw code and pages."""
