"""Metrics logged in a real database, read back as one DataFrame."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from model_envelope import metrics, names
from model_envelope.envelope import Environment, Manifest, Provenance
from model_envelope.errors import InvalidInput, InvalidName, InvalidTag, TagQueryError
from model_envelope.store.opening import open_store
from model_envelope.store.store import Store

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as found:
        yield found


def save(store: Store, tags: Mapping[str, str], created_at: datetime = DAY) -> str:
    """An envelope without files, of which only tags and metrics matter here."""
    envelope_id = names.new_id()
    manifest = Manifest(
        id=envelope_id,
        created_at=created_at,
        functions={},
        files={},
        environment=Environment(python="3.11.7", platform="x", distributions=(), digest="0" * 64),
        provenance=Provenance(),
    )
    store.begin_upload(envelope_id, timedelta(minutes=1))
    store.commit_envelope(
        manifest=manifest,
        manifest_sha256="0" * 64,
        description="",
        tags=tags,
        save_key=envelope_id,
    )
    return envelope_id


def log(store: Store, envelope_id: str, values: Mapping[str, object], **when: Any) -> None:
    store.log_metrics(envelope_id, metrics.points_of(values, **when))


def test_columns_types_and_order(store: Store) -> None:
    first = save(store, {"region": "US"}, DAY)
    second = save(store, {"region": "UK"}, DAY - timedelta(days=1))
    for step in (1, 0):
        log(store, second, {"loss": 0.5 - step / 10, "auc": 0.9}, step=step, at=DAY)
        log(store, first, {"loss": 0.6 - step / 10}, step=step, at=DAY)
    found = metrics.frame("region", store=store)
    assert list(found.columns) == ["envelope_id", "saved_at", "name", "step", "at", "value", "type"]
    assert list(found[["envelope_id", "name", "step"]].itertuples(index=False, name=None)) == [
        (first, "loss", 0),
        (first, "loss", 1),
        (second, "auc", 0),
        (second, "auc", 1),
        (second, "loss", 0),
        (second, "loss", 1),
    ]
    assert found["value"].tolist() == pytest.approx([0.6, 0.5, 0.9, 0.9, 0.5, 0.4])
    assert found["saved_at"].tolist() == [DAY] * 2 + [DAY - timedelta(days=1)] * 4
    assert (found["at"] == DAY).all()
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == {
        "envelope_id": "str",
        "saved_at": "datetime64[us, UTC]",
        "name": "str",
        "step": "int64",
        "at": "datetime64[us, UTC]",
        "value": "float64",
        "type": "str",
    }


def test_nothing_found_has_the_same_columns_and_types(store: Store) -> None:
    save(store, {"region": "US"})
    empty = metrics.frame("region == 'US'", store=store, tags=["region"])
    log(store, save(store, {"region": "UK"}), {"loss": 1.0})
    full = metrics.frame("region == 'UK'", store=store, tags=["region"])
    assert (len(empty), len(full)) == (0, 1)
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_numbers_that_are_not_finite_come_back(store: Store) -> None:
    values = [1.0, math.nan, math.inf, -math.inf]
    envelope_id = save(store, {})
    for step, value in enumerate(values):
        log(store, envelope_id, {"loss": value}, step=step)
    found = metrics.frame(None, "loss", store=store)["value"].tolist()
    assert str(found) == str(values)


def test_structured_metrics_and_their_scalars(store: Store) -> None:
    curve = metrics.RocCurve([0, 0.2, 1], [0, 0.7, 1])
    log(store, save(store, {}), {"roc_curve": curve})
    found = metrics.frame(None, store=store).set_index("name")
    assert found.loc["roc_curve", "type"] == "roc_curve"
    assert math.isnan(found.loc["roc_curve", "value"])  # type: ignore[arg-type]
    assert found.loc["roc_curve.auc", "value"] == curve.auc
    columns = store.metric_rows(names=["roc_curve"])
    assert metrics.RocCurve.from_json(columns["body"][0]) == curve


def test_names_and_times_choose(store: Store) -> None:
    envelope_id = save(store, {})
    for day in range(4):
        log(store, envelope_id, {"a": day, "b": day}, step=day, at=DAY + timedelta(days=day))
    since, until = DAY + timedelta(days=1), DAY + timedelta(days=3)
    found = metrics.frame(None, ["a"], since=since, until=until, store=store)
    assert found["value"].tolist() == [1.0, 2.0]
    assert set(found["name"]) == {"a"}


def test_tags_become_columns(store: Store) -> None:
    odd = 'it\'s "odd"; --'
    log(store, save(store, {"region": "US", "name": "x", odd: "y"}), {"loss": 1.0})
    log(store, save(store, {"name": "z"}), {"loss": 2.0})
    found = metrics.frame("name", tags=("region", "name", odd), store=store)
    assert found["region"].tolist()[0] == "US"
    assert found["region"].isna().tolist() == [False, True]
    assert found["name"].tolist() == ["loss", "loss"]
    assert found["tag.name"].tolist() == ["x", "z"]
    assert found[odd].isna().tolist() == [False, True]
    again = metrics.frame("name", tags="region", store=store)
    assert again.equals(metrics.frame("name", tags=["region", "region"], store=store))
    assert again["region"].equals(found["region"])
    chart = metrics.plot_points(found, split="region")
    assert {row["series"] for row in chart.rows} == {"US", "(no tag)"}


def test_the_query_and_ids_choose_models(store: Store) -> None:
    us, uk = save(store, {"region": "US"}), save(store, {"region": "UK"})
    for envelope_id in (us, uk):
        log(store, envelope_id, {"loss": 1.0})
    assert metrics.frame({"region": "US"}, store=store)["envelope_id"].tolist() == [us]
    assert metrics.frame("region in ('US', 'UK')", store=store)["envelope_id"].nunique() == 2
    assert metrics.frame(None, envelope_ids=[uk], store=store)["envelope_id"].tolist() == [uk]


def test_the_configured_store_unless_given(home: Any, tmp_path: Any) -> None:
    home.mkdir()
    with open_store(f"sqlite:///{home / 'store.sqlite'}") as store:
        log(store, save(store, {"region": "US"}), {"loss": 1.0})
    assert metrics.frame("region", "loss")["value"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"query": "region =="}, TagQueryError),
        ({"query": None, "names": ["a; drop table metric"]}, InvalidName),
        ({"query": None, "tags": [""]}, InvalidTag),
        ({"query": None, "since": datetime(2026, 1, 1)}, InvalidInput),
        ({"query": None, "until": "2026-01-01"}, InvalidInput),
    ],
)
def test_bad_arguments_are_refused(
    sqlite_store_url: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with open_store(sqlite_store_url) as store, pytest.raises(error):
        metrics.frame(**arguments, store=store)


def test_a_frame_of_many_points_is_whole(store: Store) -> None:
    ids = [save(store, {"n": str(i)}) for i in range(20)]
    points = {
        envelope_id: [
            metrics.MetricPoint(name="loss", step=step, at=DAY, value=float(step))
            for step in range(500)
        ]
        for envelope_id in ids
    }
    store.log_many(points)
    found = metrics.frame(None, "loss", tags=["n"], store=store)
    assert len(found) == 10_000
    assert found.groupby("envelope_id", sort=False)["value"].sum().tolist() == [124750.0] * 20
    assert found.drop_duplicates("envelope_id")["n"].tolist() == [str(i) for i in range(20)]
    assert isinstance(found.index, pd.RangeIndex)
