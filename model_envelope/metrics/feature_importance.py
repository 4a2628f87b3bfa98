"""How much each feature matters to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType

LIMIT = 200
SHOWN = 30


@dataclass(frozen=True, repr=False)
class FeatureImportance(MetricType):
    """A number for each feature, the greatest (by size, whatever the sign) first.

    Of more than 200 features the 200 greatest are kept; `total` says how many there were.

    Attributes:
        features: their names.
        importances: gains, permutation importances, coefficients, mean SHAP values.
        total: the number of features before the least were left out.
    """

    type: ClassVar[str] = "feature_importance"
    keys: ClassVar[tuple[str, ...]] = ("feature",)
    features: Sequence[str]
    importances: Sequence[float]
    total: int = 0

    def __post_init__(self) -> None:
        features = checks.texts(self.features, "features")
        importances = checks.numbers(self.importances, "importances")
        n = checks.same_length(features=features, importances=importances)
        order = sorted(range(n), key=lambda i: -abs(importances[i]))[:LIMIT]
        self._normalise(
            features=tuple(features[i] for i in order),
            importances=tuple(importances[i] for i in order),
            total=max(checks.count(self.total, "total"), n),
        )

    @classmethod
    def from_mapping(cls, importances: Mapping[str, float]) -> Self:
        """From a dict of feature name to importance; a pandas Series does too."""
        if not hasattr(importances, "items"):
            raise InvalidInput(
                f"from_mapping takes a dict or pandas Series, not {type(importances).__name__}."
            )
        items = list(importances.items())
        return cls([name for name, _ in items], [value for _, value in items])

    def rows(self) -> list[dict[str, Any]]:
        """A row for each feature: `feature`, `importance`, `rank` from 1."""
        return [
            {"feature": feature, "importance": importance, "rank": rank}
            for rank, (feature, importance) in enumerate(
                zip(self.features, self.importances, strict=True), start=1
            )
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """Bars of the 30 greatest, those of one feature together."""
        bars = vega.chart(
            "Feature importance",
            mark="bar",
            x=vega.quantitative("importance", title="Importance"),
            y=vega.nominal("feature", title=None, sort={"field": "rank", "op": "min"}),
            yOffset=vega.nominal("model"),
            color=vega.model_colour(n_models),
        )
        return {**bars, "transform": [{"filter": f"datum.rank <= {SHOWN}"}]}
