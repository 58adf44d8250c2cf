"""Seeds a registry with images that are the same, to the digest, for the same seed."""
