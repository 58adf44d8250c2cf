"""The run folder: streams while a run lasts, sealed tables afterwards, and how to read them back."""
