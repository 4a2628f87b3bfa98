"""A health check: `healthy.py URL [KEY]`.

The URL must answer. With a key, its JSON must say of that key that it is healthy: in words, as
Airflow does of its components, or by a number that is not 0.
"""

from __future__ import annotations

import json
import sys
import urllib.request


def main(url: str, key: str = "") -> int:
    """0 if it is healthy."""
    try:
        with urllib.request.urlopen(url, timeout=8) as answer:  # noqa: S310
            told = answer.read()
    except OSError as error:
        sys.stdout.write(f"{url}: {error}\n")
        return 1
    if not key:
        return 0
    found = json.loads(told).get(key)
    status = found.get("status") if isinstance(found, dict) else found
    sys.stdout.write(f"{key}: {status}\n")
    return int(status != "healthy" if isinstance(status, str) else not status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
