"""The verbs of the command line: words to values, one call, an exit code. One short function for each."""
