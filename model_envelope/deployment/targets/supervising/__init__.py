"""What keeps a service of the `process` target running: one detached supervisor for each.

Everything in here runs by the platform's Python with nothing but the standard library, so
that a supervisor is small, starts at once and outlives upgrades of everything else.
"""
