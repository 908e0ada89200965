"""JupyterLab in a real browser, with our panel in it."""
