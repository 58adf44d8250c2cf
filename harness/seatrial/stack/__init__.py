"""Brings a stack up, waits until it answers, seeds it, and takes it away again, whatever happens."""
