"""Making services run envelopes: rules, plan, rollout, reconcile, and the targets they run on."""
