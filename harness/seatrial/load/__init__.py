"""The load generator as a child process: its command, control and phases. Never imports locust."""
