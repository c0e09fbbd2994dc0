"""Settings of unlearning methods by family, and what all share; ``config.methods`` has the paper's own, and all by kind."""
