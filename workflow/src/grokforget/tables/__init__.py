"""The tables of the paper and of the claims, from result tables alone."""
