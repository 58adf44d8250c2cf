"""The commands: options to values, one call, an exit code; one short function for each."""
