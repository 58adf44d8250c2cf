"""From a YAML file to frozen values, all problems at once; and from a scenario to its trials. Starts nothing."""
