"""The run folder: streams while a run lasts, sealed tables afterwards, and reading them back."""
