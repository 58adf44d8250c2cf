"""What two processes share: the binary layouts of the tables, and the control messages. Standard library only."""
