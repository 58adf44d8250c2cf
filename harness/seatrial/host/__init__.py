"""What this machine has and lacks, what distorts a measurement on it, and the base image of the stacks."""
