"""Charts of many models: the same for the web page, a notebook and a file."""
