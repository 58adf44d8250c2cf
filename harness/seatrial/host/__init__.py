"""The machine: what it lacks, what distorts a measurement on it, and the images of the stacks."""
