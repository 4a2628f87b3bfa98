"""What a service is in a cluster: pure functions from what is wanted to manifests."""
