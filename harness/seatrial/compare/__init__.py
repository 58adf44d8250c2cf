"""Verdicts on paired runs, budgets and capacity; pure functions."""
