"""The metrics of language models that answer questions."""
