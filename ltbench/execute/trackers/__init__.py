"""Trackers: one file for each program that shows how trainings go. Only those asked for are imported."""
