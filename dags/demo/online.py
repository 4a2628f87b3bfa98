"""The online half of the demo: a rule, a URL, refusals with their reasons, and a rollback."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

import client_ltv
import model_envelope as me
from client_ltv.evaluate import score
from client_ltv.features import HOLDOUT_WEEKS, spend_after
from client_ltv.models import FAMILIES, FEATURES

SERVICE = "client-ltv"
SEGMENT = "1997-01"
WHEN = f"canonical_name == 'client_ltv' and segment == '{SEGMENT}' and passes_tests == 'true'"
TAGS = {"canonical_name": "client_ltv", "business_line": "music", "segment": SEGMENT}


@dataclass(frozen=True, kw_only=True)
class Online:
    """What happened to the service.

    Attributes:
        url: where it answers.
        seconds: from the rule to the first answer.
        events: `what` was done, the `envelope` it was about, `outcome` and `reason`.
        answers: `customer_id`, what the `batch` table and the `service` say of each.
        live: the envelope that runs at the end.
    """

    url: str
    seconds: float
    events: pd.DataFrame
    answers: pd.DataFrame
    live: str

    @property
    def identical(self) -> bool:
        """Whether service and batch table say the same to the last bit."""
        return bool((self.answers["batch"] == self.answers["service"]).all())


def go_online(*, tables: Path, transactions: pd.DataFrame, as_of: date) -> Online:
    """Serve the best model of a segment by a rule; try to replace it by ones that should not.

    Args:
        tables: folder of the feature and prediction tables.
        transactions: of all customers.
        as_of: the logical date that was predicted for.
    """
    customers = pd.read_parquet(tables / "features" / as_of.isoformat() / f"{SEGMENT}.parquet")
    workshop = Workshop(customers, transactions, as_of)
    events: list[dict[str, str]] = []

    if SERVICE in {service.name for service in me.services()}:
        # From an earlier run, which ended with a rollback.
        me.unpin(SERVICE)
        me.resume_rule(SERVICE)
    started = time.monotonic()
    me.rule(
        SERVICE,
        when=WHEN,
        service=SERVICE,
        gates=[{"not_worse": {"metric": "rmse", "better": "min"}}],
    )
    best = me.latest(WHEN)
    url = _reconcile("The best model passes its tests", best, events)
    _ask(url, customers.head(1))
    seconds = time.monotonic() - started

    for what, candidate in {
        "A worse model passes by mistake": workshop.save("spend_rate"),
        "A model needs a setting of its author's machine": workshop.save_with_setting(best),
    }.items():
        candidate.set_tags(passes_tests="true")
        _reconcile(what, candidate, events)
        candidate.remove_tags("passes_tests")

    other = workshop.second_best(best)
    me.deploy(other, SERVICE, reason="Tried by hand.")
    events.append(_event("Somebody deploys another by hand", other, "deployed", ""))
    back = me.rollback(SERVICE)
    events.append(_event("And rolls back", best, "deployed", back.note))
    return Online(
        url=url,
        seconds=seconds,
        events=pd.DataFrame(events),
        answers=_answers(url, customers, tables, as_of),
        live=str(back.envelope_id),
    )


@dataclass(frozen=True)
class Workshop:
    """Where data scientists make models of one segment's customers."""

    customers: pd.DataFrame
    transactions: pd.DataFrame
    as_of: date

    def save(self, family: str) -> me.Envelope:
        """Fit a model of a family, save and score it."""
        return self._save(self._fit(family), family)

    def save_with_setting(self, best: me.Envelope) -> me.Envelope:
        """The best model once more, but it wants a variable that only this process has."""
        family = best.tags["model_family"]
        fitted = self._fit(family)
        os.environ["LTV_SCALE"] = "1"

        def predict(customers: pd.DataFrame) -> pd.Series[float]:
            predicted: pd.Series[float] = fitted(customers)
            return predicted * float(os.environ["LTV_SCALE"])

        return self._save(predict, family)

    def second_best(self, best: me.Envelope) -> me.Envelope:
        """Of the same training."""
        run = best.tags["training_run"]
        first, second = me.query(
            {**TAGS, "training_run": run}, order_by="metric:rmse", descending=False, limit=2
        )
        return second if first.id == best.id else first

    def _fit(self, family: str) -> Callable[[pd.DataFrame], Any]:
        ids = self.customers["customer_id"]
        mine = self.transactions[self.transactions["customer_id"].isin(ids)]
        fitted: Any = FAMILIES[family](mine, self.as_of)
        predict: Callable[[pd.DataFrame], Any] = getattr(fitted, "predict", fitted)
        return predict

    def _save(self, model: Callable[[pd.DataFrame], Any], family: str) -> me.Envelope:
        envelope = me.save_model(
            model,
            description="Made by the demo.",
            tags={**TAGS, "model_family": family},
            api_input=self.customers[FEATURES],
            modules=[client_ltv],
        )
        spent = spend_after(self.transactions, self.as_of, HOLDOUT_WEEKS)
        actual = self.customers["customer_id"].map(spent).fillna(0.0)
        envelope.log_metrics(score(actual, envelope.predict(self.customers[FEATURES])))
        return envelope


def _reconcile(what: str, envelope: me.Envelope, events: list[dict[str, str]]) -> str:
    """Let rules have their way, and note what came of it; gives the URL."""
    (outcome,) = me.reconcile([SERVICE])
    events.append(_event(what, envelope, outcome.action, outcome.reason))
    return str(outcome.url)


def _event(what: str, envelope: me.Envelope, outcome: str, reason: str) -> dict[str, str]:
    first = reason.partition("\n")[0]
    return {"what": what, "envelope": envelope.id, "outcome": outcome, "reason": first}


def _answers(url: str, customers: pd.DataFrame, tables: Path, as_of: date) -> pd.DataFrame:
    predicted = pd.read_parquet(
        tables / "predictions" / f"segment={SEGMENT}",
        columns=["customer_id", "ltv"],
        filters=[("logical_date", "==", as_of.isoformat())],
    )
    both = customers.merge(predicted, on="customer_id", validate="1:1")
    return pd.DataFrame(
        {
            "customer_id": both["customer_id"],
            "batch": both["ltv"],
            "service": [row["ltv"] for row in _ask(url, both)],
        }
    )


def _ask(url: str, customers: pd.DataFrame) -> list[dict[str, float]]:
    body = json.dumps(customers[FEATURES].to_dict("records")).encode()
    request = urllib.request.Request(  # noqa: S310 - the service's own URL
        f"{url}/predict", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return list(json.load(answer))
