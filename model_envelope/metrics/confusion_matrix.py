"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from model_envelope.errors import InvalidInput
from model_envelope.metrics import checks, vega
from model_envelope.metrics.metric_type import MetricType

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LIMIT = 100


@dataclass(frozen=True, repr=False)
class ConfusionMatrix(MetricType):
    """How often each true class was predicted to be each class.

    Attributes:
        labels: the classes, at most 100, as texts.
        counts: `counts[i][j]` rows of class i were predicted to be class j.
    """

    type: ClassVar[str] = "confusion_matrix"
    keys: ClassVar[tuple[str, ...]] = ("true", "predicted")
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        labels = checks.texts(self.labels, "labels")
        checks.at_most(len(labels), LIMIT, "classes", "Merge the rare ones.")
        lines = self.counts.tolist() if hasattr(self.counts, "tolist") else self.counts
        lines = checks.listed(lines, "counts")
        counts = tuple(checks.whole_numbers(line, f"counts[{i}]") for i, line in enumerate(lines))
        checks.same_length(labels=labels, counts=counts)
        for i, line in enumerate(counts):
            checks.same_length(**{"labels": labels, f"counts[{i}]": line})
        if not any(map(any, counts)):
            raise InvalidInput("counts holds zeros only: there is nothing to measure.")
        self._normalise(labels=labels, counts=counts)

    @classmethod
    def from_labels(
        cls, y_true: ArrayLike, y_pred: ArrayLike, *, labels: Iterable[Any] | None = None
    ) -> Self:
        """From true and predicted labels, as `sklearn.metrics.confusion_matrix` counts.

        Args:
            y_true: (n,) labels.
            y_pred: (n,) labels.
            labels: the classes in the order to show; all that occur, sorted, unless given.

        Raises:
            InvalidInput: lengths differ, a label is missing, or is none of `labels`.
        """
        import numpy as np

        from model_envelope.metrics import raw

        true = raw.labels(y_true, "y_true").tolist()
        predicted = raw.labels(y_pred, "y_pred").tolist()
        checks.same_length(y_true=true, y_pred=predicted)
        classes = (
            _sorted({*true, *predicted}) if labels is None else checks.listed(labels, "labels")
        )
        at = {label: i for i, label in enumerate(classes)}
        for what, values in (("y_true", true), ("y_pred", predicted)):
            for i, value in enumerate(values):
                if value not in at:
                    raise InvalidInput(
                        f"{what}[{i}] is {value!r:.60}, which is none of the labels."
                    )
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(counts, ([at[label] for label in true], [at[label] for label in predicted]), 1)
        return cls(labels=classes, counts=counts.tolist())

    def scalars(self) -> dict[str, float]:
        """`accuracy`, `balanced_accuracy` and `macro_f1`, as scikit-learn defines them."""
        n = len(self.labels)
        true = [sum(line) for line in self.counts]
        predicted = [sum(line[j] for line in self.counts) for j in range(n)]
        hits = [self.counts[i][i] for i in range(n)]
        recalls = [hit / total for hit, total in zip(hits, true, strict=True) if total]
        occurring = [i for i in range(n) if true[i] or predicted[i]]
        f1 = [2 * hits[i] / (true[i] + predicted[i]) for i in occurring]
        return {
            "accuracy": sum(hits) / sum(true),
            "balanced_accuracy": sum(recalls) / len(recalls),
            "macro_f1": sum(f1) / len(f1),
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each cell: `true`, `predicted`, `count`, and its `share` of the true class."""
        return [
            {
                "true": true,
                "predicted": predicted,
                "count": count,
                "share": count / (sum(line) or 1),
            }
            for true, line in zip(self.labels, self.counts, strict=True)
            for predicted, count in zip(self.labels, line, strict=True)
        ]

    @classmethod
    def spec(cls, n_models: int) -> dict[str, Any]:
        """A heat map for each model: its counts over the share of the true class."""
        place = {
            "x": vega.nominal("predicted", title="Predicted", sort=None, axis={"labelAngle": 0}),
            "y": vega.nominal("true", title="True", sort=None),
        }
        share = vega.quantitative("share", title="Share of class", scale={"domain": [0, 1]})
        contrast = {"condition": {"test": "datum.share > 0.5", "value": "white"}, "value": "black"}
        heat = vega.chart(
            "Confusion matrix: true against predicted class", mark="rect", **place, color=share
        )
        layers = [
            {"mark": heat.pop("mark"), "encoding": heat.pop("encoding")},
            {
                "mark": "text",
                "encoding": {**place, "text": vega.quantitative("count"), "color": contrast},
            },
        ]
        size = {"width": {"step": 40}, "height": {"step": 40}}
        return vega.beside_each_other({**heat, **size, "layer": layers}, n_models)


def _sorted(labels: set[Any]) -> list[Any]:
    try:
        return sorted(labels)
    except TypeError:
        return sorted(labels, key=str)
