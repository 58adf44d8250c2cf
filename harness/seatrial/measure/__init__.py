"""What one run measured, and whether it can be trusted; pure functions."""
