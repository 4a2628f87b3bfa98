"""A Kubernetes cluster, by the official client: its API, and the way to its pods."""
