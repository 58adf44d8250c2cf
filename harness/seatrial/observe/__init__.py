"""The sampler, a process of its own: memory, CPU, disk and network of every service, and Docker's events."""
