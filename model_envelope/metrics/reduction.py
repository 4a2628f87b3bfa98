"""Fewer vertices for a line, of the same shape."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

LIMIT = 200
"""Vertices of a stored curve."""


def reduce(x: Sequence[float], y: Sequence[float], limit: int = LIMIT) -> list[int]:
    """Indices, ascending, of at most `limit` vertices that keep the shape of a line.

    Ramer, Douglas and Peucker's algorithm, worst first: from the chord between the two
    ends, the vertex farthest from its chord is added until there are `limit`, or until
    all others lie on their chords. Distances are measured with both axes scaled to unit
    range. The ends are always kept; a line that is short enough is kept as it is.
    """
    if len(x) <= limit:
        return list(range(len(x)))
    import numpy as np

    points = np.column_stack([x, y]).astype(np.float64)
    points -= points.min(axis=0)
    height = points.max(axis=0)
    points /= np.where(height > 0, height, 1.0)

    def farthest(first: int, last: int) -> tuple[float, int, int, int]:
        """A heap entry: the negative distance, its vertex, and the chord's ends."""
        offset = points[first + 1 : last] - points[first]
        chord = points[last] - points[first]
        length = float(np.hypot(*chord))
        if length == 0:
            distance = np.hypot(offset[:, 0], offset[:, 1])
        else:
            distance = np.abs(offset[:, 0] * chord[1] - offset[:, 1] * chord[0]) / length
        at = int(distance.argmax())
        return -float(distance[at]), first + 1 + at, first, last

    kept = [0, len(x) - 1]
    chords = [farthest(0, len(x) - 1)]
    while chords and len(kept) < limit:
        distance, vertex, first, last = heapq.heappop(chords)
        if distance > -1e-12:
            break
        kept.append(vertex)
        for start, end in ((first, vertex), (vertex, last)):
            if end - start > 1:
                heapq.heappush(chords, farthest(start, end))
    return sorted(kept)


def take(values: Sequence[T], indices: Sequence[int]) -> tuple[T, ...]:
    """The values at these indices; none of none."""
    return tuple(values[i] for i in indices) if values else ()


def interpolate(x: Sequence[float], y: Sequence[float], at: float) -> float:
    """The line's height at a place within it; the upper end where it is vertical."""
    right = bisect_right(x, at)
    left = right - 1
    if x[left] == at:
        return max(y[bisect_left(x, at) : right])
    share = (at - x[left]) / (x[right] - x[left])
    return y[left] + share * (y[right] - y[left])
