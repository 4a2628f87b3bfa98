"""The service of an envelope: one small runtime, the same for every model.

It travels into the model's own environment, so it imports nothing but the standard library,
pyarrow, `model_envelope.runtime` and what the extra `serve` names.
"""
