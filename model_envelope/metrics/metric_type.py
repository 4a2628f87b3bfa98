"""What every typed metric can do. Third parties subclass `MetricType`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from model_envelope.errors import InvalidInput

if TYPE_CHECKING:
    from model_envelope.metrics.charts import Chart

TYPE_NAME = re.compile(r"[a-z][a-z0-9_.]{0,63}")


class MetricType(ABC):
    """A metric that is more than one number.

    A subclass is a frozen dataclass whose `__post_init__` validates. It is found by its
    entry point in the group `model_envelope.metric_types`, named like its `type`:

        @dataclass(frozen=True)
        class Lift(MetricType):
            type = "acme.lift"
            keys = ("decile",)
            gain: tuple[float, ...]

            def scalars(self): ...
            def rows(self): ...
            @classmethod
            def spec(cls, n_models): ...

    Attributes:
        type: the name under which values are stored; choose it once and for all, with a
            prefix of your own. Lower-case letters, digits, `_` and `.`, at most 64.
        keys: the columns of `rows()` that tell one row from another.
    """

    type: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        name = cls.__dict__.get("type", "")
        if "type" in cls.__dict__ and not (isinstance(name, str) and TYPE_NAME.fullmatch(name)):
            raise InvalidInput(
                f"{cls.__name__}.type is {name!r}: use lower-case letters, digits, _ and ., "
                "starting with a letter, at most 64 characters."
            )

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Tidy rows of JSON values: what is charted and compared."""

    @classmethod
    @abstractmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """A Vega-Lite chart without data and without theme.

        It draws the named dataset `data`: the `rows()` of `n_models` metrics of this type,
        each with a further field `model`.
        """

    def scalars(self) -> dict[str, float]:
        """Numbers that sum it up; each is stored as a scalar metric `<metric>.<name>` too."""
        return {}

    def aligned_rows(self) -> list[dict[str, Any]]:
        """Rows at places that other metrics of the type also have; `rows()` unless overridden."""
        return self.rows()

    def to_json(self) -> str:
        """JSON that `from_json` reads again."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, body: str) -> Self:
        """Read and validate what `to_json` wrote.

        Raises:
            InvalidInput: it is something else.
        """
        try:
            return msgspec.json.decode(body, type=cls)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"{body!r:.80} is no {cls.type}: {error}") from error

    def compare(self, baseline: MetricType) -> Comparison:
        """Differences from another metric of the same type.

        Raises:
            InvalidInput: it is of another type.
        """
        if baseline.type != self.type:
            raise InvalidInput(
                f"A {self.type} can only be compared with another, not with a {baseline.type}."
            )
        theirs = baseline.scalars()
        return Comparison(
            scalars={
                name: Delta(value, theirs[name])
                for name, value in self.scalars().items()
                if name in theirs
            },
            rows=_row_deltas(self.aligned_rows(), baseline.aligned_rows(), self.keys),
        )

    def plot(self) -> Chart:
        """A chart of this metric alone."""
        from model_envelope.metrics.charts import plot_models

        return plot_models({self.type: self})

    def _normalise(self, **fields: Any) -> None:
        """Set fields of this frozen instance; for `__post_init__` only."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.plot()._repr_mimebundle_(include, exclude)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:.6g}" for name, value in self.scalars().items())
        return f"{type(self).__name__}({numbers})"


@dataclass(frozen=True)
class Delta:
    """A number, and the one it is compared with."""

    value: float
    baseline: float

    @property
    def delta(self) -> float:
        """How much greater the value is than the baseline."""
        return self.value - self.baseline


@dataclass(frozen=True)
class Comparison:
    """What differs between two metrics of one type.

    `rows` are those that both have; beside each number `x` stand `x_baseline` and
    `x_delta`.
    """

    scalars: Mapping[str, Delta]
    rows: list[dict[str, Any]]


def _row_deltas(
    rows: list[dict[str, Any]], baseline: list[dict[str, Any]], keys: tuple[str, ...]
) -> list[dict[str, Any]]:
    if not keys:
        return []
    found = {tuple(row[key] for key in keys): row for row in baseline}
    deltas = []
    for row in rows:
        other = found.get(tuple(row[key] for key in keys))
        if other is not None:
            deltas.append({key: row[key] for key in keys} | _deltas(row, other, keys))
    return deltas


def _deltas(row: dict[str, Any], other: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name not in keys and _is_number(value) and _is_number(other.get(name)):
            found |= {
                name: value,
                f"{name}_baseline": other[name],
                f"{name}_delta": value - other[name],
            }
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
