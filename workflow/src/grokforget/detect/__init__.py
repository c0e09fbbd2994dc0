"""The detector as a tool: reading logs of anyone's, and telling and drawing what they say."""
