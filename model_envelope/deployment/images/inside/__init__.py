"""Programs that run inside images, by the standard library alone."""
