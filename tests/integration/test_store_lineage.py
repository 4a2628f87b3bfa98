"""Finding what a run of a DAG made; the same tests over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Table

from model_envelope.envelope import EnvelopeRecord, Manifest, Provenance
from model_envelope.names import new_id
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import VERSION_TABLE, open_store, upgrade
from model_envelope.store.store import Store
from tests.integration.test_store_opening import MIGRATIONS

Save = Callable[..., EnvelopeRecord]
NewManifest = Callable[..., Manifest]

RUN = "scheduled__2026-01-01T00:00:00+00:00"
TASK = {"dag_id": "train", "run_id": RUN, "task_id": "fit", "map_index": "3", "try_number": "1"}
OTHERS: list[dict[str, str]] = [{}, {**TASK, "dag_id": "train2"}, {**TASK, "run_id": f"{RUN}/2"}]


def by(airflow: dict[str, str]) -> Provenance:
    return Provenance(user="ada", airflow=airflow)


def test_the_envelopes_of_a_run(store: Store, save: Save, new_manifest: NewManifest) -> None:
    for other in OTHERS:
        save(new_manifest(provenance=by(other)))
    one, two, three = (save(new_manifest(provenance=by(TASK))) for _ in range(3))
    assert one.manifest.provenance.airflow == TASK
    store.set_tags(one.id, {"changed": "later"})
    found = store.envelopes_of_run("train", RUN)
    assert [record.id for record in found] == [three.id, two.id, one.id]
    assert found[2].tags == {"changed": "later"}
    assert store.envelopes_of_run("train", RUN, limit=1) == found[:1]
    store.delete(two.id, timedelta(days=1))
    assert [record.id for record in store.envelopes_of_run("train", RUN)] == [three.id, one.id]
    assert store.envelopes_of_run("train", "manual__1") == ()
    assert store.envelopes_of_run("", "") == ()


def test_the_predictions_of_a_run(store: Store, save: Save) -> None:
    model = save().id
    for i, other in enumerate(OTHERS):
        store.start_batch(f"other {i}", model, {}, other)
    first = store.start_batch("first", model, {}, TASK)
    assert first.airflow == TASK
    store.start_batch("second", model, {}, {**TASK, "map_index": "4"})
    store.fail_batch("first", "no Java")
    assert store.start_batch("first", model, {}, {**TASK, "try_number": "2"}).airflow == {
        **TASK,
        "try_number": "2",
    }
    done = store.finish_batch("first", {"rows": 1})
    assert done.airflow["try_number"] == "2"
    found = store.predictions_of_run("train", RUN)
    assert [record.run_key for record in found] == ["first", "second"]
    assert found[0] == done
    assert store.predictions_of_run("train", RUN, limit=1) == found[:1]
    assert store.batch_predictions(run_key="other 0")[0].airflow == {}


def test_the_deployments_of_a_run(store: Store, save: Save) -> None:
    model = save().id
    store.want("ltv", target={"kind": "process"}, envelope_id=model, by="ada")
    fence = store.claim("ltv", new_id(), timedelta(minutes=1))
    assert fence is not None

    def begin(airflow: dict[str, str]) -> str:
        asked: Any = {"envelope_id": model, "by": "ada", "generation": 1, "airflow": airflow}
        return store.begin_deployment("ltv", fence, new_id(), **asked).id

    failed = begin(TASK)
    store.end_deployment(failed, fence, "failed", "too slow")
    for other in OTHERS:
        begin(other)
    live = begin({**TASK, "try_number": "2"})
    store.go_live("ltv", fence, live, "http://host/ltv")
    found = store.deployments_of_run("train", RUN)
    assert [(d.id, d.state, d.airflow["try_number"]) for d in found] == [
        (live, "live", "2"),
        (failed, "failed", "1"),
    ]
    assert store.deployments_of_run("train", RUN, limit=1) == found[:1]
    assert [d.airflow for d in store.deployments("ltv")].count({}) == 1


@pytest.fixture(params=["sqlite", "postgres"])
def url_of_third_schema(
    request: pytest.FixtureRequest, tmp_path: Any, new_manifest: NewManifest
) -> str:
    """A store as version 0003 left it, with envelopes that a DAG saved, or somebody did."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    else:
        url = str(request.getfixturevalue("postgres_url"))
    engine = make_engine(parse_url(url))
    with engine.begin() as connection:
        scripts = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        scripts.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(scripts, "0003")
        old = MetaData()
        rows = [
            {
                "id": made.id,
                "revision": i,
                "updated_revision": i,
                "save_key": str(i),
                "created_at": made.created_at,
                "description": "",
                "archived": False,
                "manifest_sha256": "ab" * 32,
                "manifest": made.to_bytes().decode(),
                "environment_digest": "cd" * 32,
                "reproducible": "unproved",
                "reproducible_reason": "",
            }
            for i, airflow in enumerate([{}, TASK, {"dag_id": "train"}])
            for made in [new_manifest(provenance=by(airflow))]
        ]
        connection.execute(Table("envelope", old, autoload_with=connection).insert(), rows)
        deployed = {
            "id": new_id(),
            "entered": 4,
            "service": "ltv",
            "envelope_id": rows[0]["id"],
            "target": {},
            "by": "ada",
            "fence": 1,
            "generation": 1,
            "state": "live",
            "reason": "",
            "started_at": rows[0]["created_at"],
        }
        connection.execute(Table("deployment", old, autoload_with=connection).insert(), deployed)
    engine.dispose()
    return url


def test_what_was_saved_before_is_found_after_the_upgrade(url_of_third_schema: str) -> None:
    upgrade(url_of_third_schema)
    with open_store(url_of_third_schema) as store:
        (found,) = store.envelopes_of_run("train", RUN)
        assert found.manifest.provenance.airflow == TASK
        (deployment,) = store.deployments("ltv")
        assert deployment.airflow == {}
