"""Scenarios: reading and checking a YAML file, and planning its experiment. Nothing here starts anything."""
