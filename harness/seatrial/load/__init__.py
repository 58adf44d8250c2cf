"""The load generator as a child process: its command, its steering, its phases. Never imports locust."""
