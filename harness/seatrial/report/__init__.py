"""What people and programs read: the only place that formats numbers and units."""
