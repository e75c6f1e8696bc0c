"""A table as text: terminal, Markdown, CSV, LaTeX, macros, a template of the user's own."""
