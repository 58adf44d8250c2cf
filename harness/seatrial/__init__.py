"""Load tests of container stacks: request latency and container memory on one clock, with a verdict."""
