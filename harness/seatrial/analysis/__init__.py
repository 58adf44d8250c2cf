"""Stored runs and experiments to results."""
