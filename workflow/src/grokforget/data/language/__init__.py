"""Questions and answers: read or made up, and as tokens."""
