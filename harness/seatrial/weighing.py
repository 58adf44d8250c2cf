"""From a stored experiment to its verdict: reads through `record`, asks `judge`."""
