"""Tags of envelopes as one boolean expression: parsed, evaluated, explained."""
