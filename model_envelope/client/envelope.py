"""An envelope in a person's hands: what it is, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from model_envelope import names
from model_envelope.client import functions, rendering, verification
from model_envelope.client.drafting import PREDICT
from model_envelope.envelope import (
    EnvelopeRecord,
    Environment,
    Provenance,
    Reproducible,
)
from model_envelope.errors import EnvelopeNotFound
from model_envelope.golden import golden_rows
from model_envelope.runtime.spec import FunctionSpec, Rows, Signature
from model_envelope.scratch import scratch_folder

if TYPE_CHECKING:
    import pandas as pd

    from model_envelope.client.client import Client
    from model_envelope.client.predicting import Model
    from model_envelope.metrics import Chart, MetricType
    from model_envelope.store.rows import Change

GRACE = timedelta(days=7)
"""How long a deleted envelope can be brought back."""


class Envelope:
    """One saved model. Made by `save_model`, `latest`, `query` and `get`.

    Its tags, description, metrics and query functions can be added to; all else stays as
    it was saved.
    """

    def __init__(self, client: Client, record: EnvelopeRecord) -> None:
        self._client = client
        self.record = record
        """All data of the envelope, as the store last gave it."""

    # What it is

    @property
    def id(self) -> str:
        """20 hexadecimal digits; the first few usually suffice."""
        return self.record.id

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags, as last seen."""
        return self.record.tags

    @property
    def description(self) -> str:
        """What it does, for people."""
        return self.record.description

    @property
    def created_at(self) -> datetime:
        """When it was saved, by the saver's clock."""
        return self.record.created_at

    @property
    def archived(self) -> bool:
        """Whether queries pass it over."""
        return self.record.archived

    @property
    def functions(self) -> Mapping[str, FunctionSpec]:
        """Its query functions by name, `predict` first."""
        return self.record.functions

    @property
    def input(self) -> Signature | None:
        """What `predict` takes."""
        return self.record.functions[PREDICT].input

    @property
    def output(self) -> Signature | None:
        """What `predict` gives."""
        return self.record.functions[PREDICT].output

    @property
    def environment(self) -> Environment:
        """What must be installed to run it."""
        return self.record.manifest.environment

    @property
    def provenance(self) -> Provenance:
        """Who saved it where, and from which code."""
        return self.record.manifest.provenance

    @property
    def statistics(self) -> Mapping[str, Mapping[str, Any]]:
        """What its training data looked like, by column; see `statistics.describe`."""
        return self.record.manifest.statistics

    @property
    def reproducible(self) -> Reproducible:
        """Whether `verify` proved that its environment can be rebuilt."""
        return self.record.reproducible

    def golden(self, function: str = PREDICT) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The golden rows: inputs, and what a function gave for them at save time."""
        given, expected = golden_rows(self._client.artifacts, self.record, function)
        return given.to_pandas(), expected.to_pandas()

    def history(self) -> tuple[Change, ...]:
        """Everything that happened to it, oldest first."""
        return self._client.store.history(self.id)

    def refresh(self) -> Envelope:
        """See what others changed meanwhile."""
        self.record = self._client.store.get(self.id)
        return self

    # What it does

    def load(self, function: str = PREDICT) -> Model:
        """See `Client.load`."""
        return self._client.load(self, function)

    def predict(self, data: Any, *, function: str = PREDICT, isolated: bool = False) -> Any:
        """See `Client.predict`."""
        return self._client.predict(self, data, function=function, isolated=isolated)

    def verify(self) -> Envelope:
        """Rebuild its environment, predict the golden rows there, and record the outcome.

        `reproducible` is then `proved`, or `failed` with the reason in
        `record.reproducible_reason`.
        """
        status, reason = verification.verify(self._client, self)
        self._client.store.record_verification(self.id, status, reason, self._client.actor)
        return self.refresh()

    # What is said of it

    def set_tags(self, tags: Mapping[str, str] | None = None, /, **more: str) -> Envelope:
        """Add tags, or give them other values: `envelope.set_tags(passes_tests='true')`.

        Raises:
            InvalidTag: a key or value is not acceptable.
        """
        self._client.store.set_tags(self.id, {**(tags or {}), **more}, self._client.actor)
        return self.refresh()

    def remove_tags(self, *keys: str) -> Envelope:
        """Take tags away; those it does not have are fine."""
        self._client.store.remove_tags(self.id, keys, self._client.actor)
        return self.refresh()

    def set_description(self, description: str) -> Envelope:
        """Describe it anew."""
        self._client.store.set_description(self.id, description, self._client.actor)
        return self.refresh()

    def archive(self) -> Envelope:
        """Keep it out of queries that do not ask for archived ones."""
        self._client.store.archive(self.id, self._client.actor)
        return self.refresh()

    def unarchive(self) -> Envelope:
        """Let queries find it again."""
        self._client.store.unarchive(self.id, self._client.actor)
        return self.refresh()

    def delete(self, grace: timedelta = GRACE) -> None:
        """Make it invisible at once; until `grace` is over, `undelete` brings it back."""
        self._client.store.delete(self.id, grace, self._client.actor)

    def undelete(self) -> Envelope:
        """Bring it back, as it was."""
        self._client.store.undelete(self.id, self._client.actor)
        return self.refresh()

    def add_query_function(
        self, name: str, function: Callable[..., Any], *, rows: Rows | None = None
    ) -> Envelope:
        """Add a callable that runs in this envelope's environment.

        It is tried on the golden rows, and may use what the environment holds, no more.

        Raises:
            EnvelopeError: it cannot be saved; nothing was added.
        """
        names.check_identifier(name, "query function's name")
        with scratch_folder() as folder:
            added = functions.Addition(name=name, function=function, rows=rows)
            functions.add(self._client, self.record, added, folder)
        return self.refresh()

    # Metrics

    def log_metrics(
        self,
        metrics: Mapping[str, Any] | None = None,
        /,
        *,
        step: int = 0,
        at: datetime | None = None,
        **more: Any,
    ) -> Envelope:
        """Log metrics, at training or much later, from any process.

        Args:
            metrics: numbers, lists of numbers, or types of `model_envelope.metrics`, by name.
            step: orders values of one name; the same step again replaces its value.
            at: when it was measured, with a time zone; now unless given.
            more: likewise, as keywords.

        Raises:
            InvalidInput: a name or value that cannot be logged; nothing was.
        """
        from model_envelope.metrics.points import points_of

        points = points_of({**(metrics or {}), **more}, step=step, at=at)
        self._client.store.log_metrics(self.id, points, self._client.actor)
        return self

    def metrics(self) -> dict[str, MetricType | float]:
        """The last value of every metric: numbers as such, structures as their types."""
        from model_envelope.metrics import MetricPoint, Scalar, from_point

        rows = self._client.store.metric_rows(envelope_ids=[self.id])
        fields = ("name", "step", "at", "type", "value", "body")
        found: dict[str, MetricType | float] = {}
        for values in zip(*(rows[name] for name in fields), strict=True):
            point = MetricPoint(**dict(zip(fields, values, strict=True)))
            metric = from_point(point)
            found[point.name] = metric.value if isinstance(metric, Scalar) else metric
        return found

    def metric(self, name: str) -> MetricType | float:
        """The last value of one metric.

        Raises:
            EnvelopeNotFound: it was never logged.
        """
        found = self.metrics()
        if name not in found:
            logged = ", ".join(found) or "none"
            raise EnvelopeNotFound(f"Envelope {self.id} has no metric {name!r}; it has {logged}.")
        return found[name]

    def plot(self, name: str) -> Chart:
        """A metric drawn as its type draws itself; scalars over their steps."""
        from model_envelope.metrics import MetricType, plot_models, plot_points

        metric = self.metric(name)
        if isinstance(metric, MetricType):
            return plot_models({self.id[:8]: metric}, title=name)
        return plot_points(self.metric_frame(name), x="step")

    def metric_frame(self, names: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Every logged value of this envelope; see `metrics.frame`."""
        from model_envelope.metrics import frame

        return frame(None, names, envelope_ids=[self.id], store=self._client.store)

    def log_hyperparameters(
        self, values: Mapping[str, Any] | None = None, /, **more: Any
    ) -> Envelope:
        """Record hyperparameters: plain JSON values by name."""
        store = self._client.store
        store.set_hyperparameters(self.id, {**(values or {}), **more}, self._client.actor)
        return self

    def hyperparameters(self) -> dict[str, Any]:
        """Its hyperparameters by name."""
        return self._client.store.hyperparameters([self.id]).get(self.id, {})

    # How it looks

    def __repr__(self) -> str:
        return rendering.as_text(self.record)

    def _repr_html_(self) -> str:
        return rendering.as_html(self.record)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Envelope) and other.record == self.record

    def __hash__(self) -> int:
        return hash(self.id)
