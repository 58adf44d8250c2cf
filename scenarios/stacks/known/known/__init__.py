"""A service whose cost is known, because it is set: the truth that trials of the judgement are held to."""
