"""The token service of the stack: the Distribution token protocol, on Flask."""
