"""Engines that bring a stack up, wait until it answers, seed it, and remove it in any case."""
