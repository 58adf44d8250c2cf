"""The lean HTTP client; knows nothing of Locust."""
