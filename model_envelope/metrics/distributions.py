"""How values are spread: counts in bins, and quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from model_envelope.metrics.raw import Floats

LIMIT = 200
LARGEST = 1e150
"""Of values: their squares are still numbers."""

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True, repr=False)
class Histogram(MetricType):
    """Counts of values in bins.

    Attributes:
        edges: n + 1 rising edges of at most 200 bins.
        counts: n counts; each bin holds its lower edge, the last one both.
        mean: of the values; computed from the bins' centres unless given.
        std: standard deviation of the values; likewise.
    """

    type: ClassVar[str] = "histogram"
    keys: ClassVar[tuple[str, ...]] = ("low", "high")
    edges: Sequence[float]
    counts: Sequence[int]
    mean: float = math.nan
    std: float = math.nan

    def __post_init__(self) -> None:
        edges = checks.numbers(self.edges, "edges", low=-LARGEST, high=LARGEST)
        counts = checks.whole_numbers(self.counts, "counts")
        checks.ordered(edges, "edges", "rising")
        checks.same_length(**{"edges but the first": edges[1:], "counts": counts})
        checks.at_most(len(counts), LIMIT, "bins", "Use fewer bins.")
        total = sum(counts)
        if not total:
            raise InvalidInput("counts holds zeros only: there is no distribution.")
        centres = [(low + high) / 2 for low, high in pairwise(edges)]
        mean = checks.number(self.mean, "mean")
        if math.isnan(mean):
            mean = math.fsum(x * n for x, n in zip(centres, counts, strict=True)) / total
        std = checks.number(self.std, "std")
        if math.isnan(std):
            squares = math.fsum((x - mean) ** 2 * n for x, n in zip(centres, counts, strict=True))
            std = math.sqrt(squares / total)
        checks.numbers([mean], "mean")
        checks.numbers([std], "std", low=0)
        self._normalise(edges=edges, counts=counts, mean=mean, std=std)

    @classmethod
    def from_values(cls, values: ArrayLike, *, bins: int | Sequence[float] = 30) -> Self:
        """From the values themselves, as `numpy.histogram` counts.

        Args:
            values: (n,) finite numbers.
            bins: how many bins of equal width, or the edges, which must enclose all values.

        Raises:
            InvalidInput: a value is missing, not finite or outside the edges; says where.
        """
        import numpy as np

        from model_envelope.metrics import raw

        numbers = raw.finite(values, "values", LARGEST)
        if isinstance(bins, int | Integral):
            edges = _equal_bins(numbers, checks.count(bins, "bins", low=1, high=LIMIT))
        else:
            edges = checks.numbers(bins, "bins")
            checks.ordered(edges, "bins", "rising")
            checks.numbers(numbers, "values", low=edges[0], high=edges[-1])
        counts, _ = np.histogram(numbers, bins=edges)
        return cls(edges, counts, mean=float(numbers.mean()), std=float(numbers.std()))  # type: ignore[arg-type]

    def scalars(self) -> dict[str, float]:
        """`count`, `mean`, `std`."""
        return {"count": float(sum(self.counts)), "mean": self.mean, "std": self.std}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each bin: `low`, `high`, `count`, and its `share` of all."""
        total = sum(self.counts)
        return [
            {"low": low, "high": high, "count": count, "share": count / total}
            for (low, high), count in zip(pairwise(self.edges), self.counts, strict=True)
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """Bars; those of several models shine through each other."""
        return vega.chart(
            "Histogram",
            mark={"type": "bar", "tooltip": True, "opacity": 1 if n_models == 1 else 0.5},
            x=vega.quantitative("low", title="Value", bin="binned"),
            x2={"field": "high"},
            y=vega.quantitative("share", title="Share", stack=None),
            color=vega.model_colour(n_models),
        )


@dataclass(frozen=True, repr=False)
class Quantiles(MetricType):
    """Values below which given shares of all values lie.

    Attributes:
        levels: rising shares, 0 to 1, at most 200.
        values: the quantile at each level, never falling.
    """

    type: ClassVar[str] = "quantiles"
    keys: ClassVar[tuple[str, ...]] = ("level",)
    levels: Sequence[float]
    values: Sequence[float]

    def __post_init__(self) -> None:
        levels = checks.numbers(self.levels, "levels", low=0, high=1)
        values = checks.numbers(self.values, "values", low=-LARGEST, high=LARGEST)
        checks.same_length(levels=levels, values=values)
        checks.at_most(len(levels), LIMIT, "levels", "Use fewer levels.")
        checks.ordered(levels, "levels", "rising")
        checks.ordered(values, "values", "not falling")
        self._normalise(levels=levels, values=values)

    @classmethod
    def from_values(cls, values: ArrayLike, *, levels: Sequence[float] = LEVELS) -> Self:
        """From the values themselves, as `numpy.quantile` interpolates (linearly).

        Args:
            values: (n,) finite numbers.
            levels: rising shares, 0 to 1.

        Raises:
            InvalidInput: a value is missing or not finite; says where.
        """
        import numpy as np

        from model_envelope.metrics import raw

        shares = checks.numbers(levels, "levels", low=0, high=1)
        found = np.quantile(raw.finite(values, "values", LARGEST), shares)
        return cls(shares, np.maximum.accumulate(found).tolist())

    def scalars(self) -> dict[str, float]:
        """`p5`, `p25`, `p50`, `p75`, `p95`, `p99`, as far as these levels are there."""
        found = dict(zip(self.levels, self.values, strict=True))
        return {f"p{p}": found[p / 100] for p in (5, 25, 50, 75, 95, 99) if p / 100 in found}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each level: `level`, `value`."""
        return [
            {"level": level, "value": value}
            for level, value in zip(self.levels, self.values, strict=True)
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """The value at each level, a line for each model."""
        return vega.chart(
            "Quantiles",
            mark={"type": "line", "point": True, "tooltip": {"content": "data"}},
            x=vega.share("level", "Share of values below"),
            y=vega.quantitative("value", title="Value", scale={"zero": False}),
            **vega.line_by_model(n_models),
        )


def _equal_bins(values: Floats, bins: int) -> tuple[float, ...]:
    import numpy as np

    try:
        return tuple(np.histogram_bin_edges(values, bins=bins).tolist())
    except ValueError as error:
        raise InvalidInput(f"{error} Use fewer bins, or give their edges.") from error
