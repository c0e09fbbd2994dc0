"""The typed spec of each job, built from a study."""
