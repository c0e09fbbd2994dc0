"""Every schema: what a study may say, and the typed spec of each job."""
