"""An image's health check: is the service ready?"""

from __future__ import annotations

import http.client
import sys


def main() -> int:
    """0 if it is."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=4)
    try:
        connection.request("GET", "/readyz")
        return int(connection.getresponse().status != 200)
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
