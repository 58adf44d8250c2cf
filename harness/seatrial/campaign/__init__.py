"""The order of things: block by block, trial by trial; saves after each step; tears down last."""
