"""Settings of data sets by where they come from; ``config.data`` has those that need no files, and all by kind."""
