"""Functions of numbers: latency, memory, validity. No clock, no file, no socket."""
