"""Typed metrics: validated, stored, compared and drawn alike everywhere."""
