"""Images of services: one for all models of an environment, and a thin one for each."""
