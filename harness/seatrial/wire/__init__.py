"""Formats that processes share: streams, control messages, rates, histograms. Standard library only."""
