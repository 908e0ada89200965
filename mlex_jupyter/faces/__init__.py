"""What shell, notebook and Python share: one grammar of lines, one way to show a value, one way to wait for a run."""
