"""Buckets with round edges: what they hold does not depend on what else is drawn."""

from __future__ import annotations

from datetime import datetime
from typing import Any

MINUTE, HOUR, DAY = 60, 3_600, 86_400
ROUND_TIMES = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 7, 14, 28, 91, 364)),
)


def plan(low: Any, high: Any, most: int) -> tuple[int, int]:
    """Where the first bucket begins, and how wide each is: steps, or seconds since 1970.

    Args:
        low: the least step or time.
        high: the greatest.
        most: how many buckets there may be.
    """
    if isinstance(low, datetime):
        first, last = int(low.timestamp() // 1), int(high.timestamp() // 1)
        widths = (*ROUND_TIMES, *(364 * DAY * 2**i for i in range(1, 40)))
    else:
        first, last = int(low), int(high)
        widths = tuple(digit * 10**i for i in range(20) for digit in (1, 2, 5))
    width = next(w for w in widths if last // w - first // w < most)
    return first // width * width, width
