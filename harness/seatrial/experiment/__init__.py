"""The order of things: trials, blocks, designs, capacity searches, kept stacks."""
