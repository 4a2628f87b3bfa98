"""One address for all services: a HAProxy that is told the whole truth each time."""
