"""What a candidate must pass before it gets the traffic of a service."""
