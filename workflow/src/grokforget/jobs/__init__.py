"""One plain function a rule: reads files, calls the science, writes files."""
