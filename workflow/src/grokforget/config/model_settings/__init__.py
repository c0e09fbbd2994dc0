"""Settings of models that are read from files, and what all models have in common; ``config.models`` has all by kind."""
