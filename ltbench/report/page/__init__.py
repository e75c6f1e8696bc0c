"""Pages that show a report: Markdown and one HTML file."""
