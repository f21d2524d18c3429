"""One family of models per file; the file's name is the family's."""
