"""Put any Python model in an envelope; what runs it is derived from that."""

from model_envelope._version import __version__

__all__ = ["__version__"]
