"""The report: records of a results folder to tables, figures and pages. Needs no torch."""
