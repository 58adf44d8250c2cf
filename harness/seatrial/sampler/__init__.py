"""The sampler: memory, CPU and events of services, in a process of its own."""
