"""Services, deployments, batch predictions and runs by the API of the web."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from model_envelope.client.client import Client
from model_envelope.envelope import EnvelopeRecord, Manifest, Provenance
from model_envelope.names import new_id
from model_envelope.store.store import Store
from model_envelope.web.access import Access, Host, Viewer
from model_envelope.web.app import create_app

Save = Callable[..., EnvelopeRecord]

HOUR = timedelta(hours=1)
PROCESS = {"kind": "process", "options": {}}
NEARBY = "http://127.0.0.1:9"


def lived(
    store: Store, envelope_id: str, service: str = "ltv", url: str = NEARBY, **more: Any
) -> str:
    """An envelope goes live, all in one; gives the deployment."""
    record = store.want(service, target=PROCESS, envelope_id=envelope_id, by="ada", **more)
    fence = store.claim(service, new_id(), HOUR)
    assert fence is not None
    generation = record.generation
    begun = store.begin_deployment(
        service, fence, new_id(), envelope_id=envelope_id, by="ada", generation=generation
    )
    store.add_step(begun.id, fence, "golden rows", "passed", {"rows": 2})
    store.go_live(service, fence, begun.id, url)
    store.observe(service, fence, generation)
    store.release_claim(service, fence)
    return begun.id


def test_there_are_no_services_at_first(get: Any) -> None:
    assert get("services") == {"items": []}
    assert get("deployments") == {"items": [], "next": None}
    assert get("services/ltv", 404)["code"] == "service_not_found"
    assert get("services/ltv/health", 404)
    assert get(f"deployments/{'0' * 20}", 404)["code"] == "deployment_not_found"


def test_a_service_tells_what_it_runs_and_should(get: Any, store: Store, save: Save) -> None:
    first, second = save(tags={"canonical_name": "one"}), save(tags={"canonical_name": "two"})
    deployment = lived(store, first.id)
    (row,) = get("services")["items"]
    assert row["state"] == "live"
    assert row["live"]["envelope"] == first.id
    assert row["live"]["name"] == "one"
    assert row["live"]["deployment"] == deployment
    assert row["live"]["since"].endswith("Z")
    assert row["target"] == PROCESS
    store.put_rule("best", "ltv", {"when": "stage == 'prod'"})
    store.want("ltv", target=None, envelope_id=second.id, by="bob", reason="newer", pinned=True)
    row = get("services")["items"][0]
    assert row["state"] == "waiting"
    assert row["rule"] == "best"
    assert row["desired"] == {
        "envelope": second.id,
        "name": "two",
        "by": "bob",
        "reason": "newer",
        "pinned": True,
    }
    fence = store.claim("ltv", "me", HOUR)
    assert fence is not None
    assert get("services/ltv")["state"] == "deploying"
    store.observe("ltv", fence, row["generation"])
    store.release_claim("ltv", fence)
    assert get("services/ltv")["state"] == "failed"
    lived(store, second.id)
    shown = get("services/ltv")
    assert shown["previous_envelope"] == first.id
    assert [one["state"] for one in shown["deployments"]] == ["live", "retired"]


def test_deployments_come_in_pages(get: Any, store: Store, save: Save) -> None:
    models = [save() for _ in range(5)]
    ledger = [lived(store, model.id) for model in models]
    other = lived(store, models[0].id, "other")
    found, cursor = [], None
    while True:
        page = get("deployments", service="ltv", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == ledger[::-1]
    mine = get("deployments", envelope=models[0].id)["items"]
    assert [item["id"] for item in mine] == [other, ledger[0]]
    assert get(f"models/{models[0].id}/deployments")["items"] == mine
    steps = get(f"deployments/{other}")["steps"]
    assert [(step["name"], step["state"], step["detail"]) for step in steps] == [
        ("golden rows", "passed", {"rows": 2})
    ]
    for wrong in ({"cursor": "x"}, {"limit": 0}, {"envelope": "x"}, {"service": "x" * 64}):
        get("deployments", 422, **wrong)


def test_a_preview_tells_what_deploying_would_do(
    get: Any, send: Any, client: Client, store: Store, save: Save
) -> None:
    old, new = save(tags={"stage": "prod"}), save(tags={"stage": "prod"})
    asked = {"envelope": "stage == 'prod'", "service": "ltv", "options": {"replicas": 2}}
    first = send("POST", "deployments/preview", asked)
    assert first["action"] == "deploy"
    assert first["envelope"]["id"] == new.id
    assert first["replaces"] is None
    store.put_rule("best", "ltv", {"when": "stage == 'prod'"})
    lived(store, new.id)
    same = send("POST", "deployments/preview", {"envelope": new.id, "service": "ltv"})
    assert same["action"] == "keep"
    back = send("POST", "deployments/preview", {"envelope": old.id, "service": "ltv"})
    assert back["action"] == "replace"
    assert back["replaces"]["envelope"] == new.id
    assert back["url"] == NEARBY
    assert any("before what runs" in told for told in back["warnings"])
    assert any("'best'" in told for told in back["warnings"])
    assert store.service("ltv").desired_envelope == new.id
    assert len(store.deployments()) == 1


def test_a_preview_refuses_what_deploying_would(send: Any, save: Save) -> None:
    model = save(tags={"stage": "prod"})
    asked = {"envelope": model.id, "service": "ltv"}
    path = "deployments/preview"
    assert send("POST", path, {**asked, "service": "Admin!"}, 422)["code"] == "invalid_name"
    assert send("POST", path, {**asked, "envelope": "0" * 20}, 404)
    assert send("POST", path, {**asked, "envelope": "stage == 'dev'"}, 404)["message"]
    assert send("POST", path, {**asked, "envelope": "stage =="}, 422)["position"] == 8
    assert "mainframe" in send("POST", path, {**asked, "target": "mainframe"}, 422)["message"]
    assert "size" in send("POST", path, {**asked, "options": {"size": 2}}, 422)["message"]
    assert send("POST", path, {**asked, "more": 1}, 422)["fields"]["more"]


def test_where_a_dag_deploys_the_page_has_to_start_it(client: Client, save: Save) -> None:
    model = save()
    access = Access(
        read=lambda: None, change=lambda: None, viewer=lambda: Viewer(name="ada", change=True)
    )
    app = create_app(Host(mode="airflow", open_client=lambda: client, access=access))
    with TestClient(app, headers={"X-Model-Envelope": "1"}) as browser:
        deploying = {"envelope": model.id, "service": "ltv"}
        for path, body in (
            ("deployments", deploying),
            ("services/ltv/rollback", {}),
            ("services/ltv/undeploy", {}),
        ):
            answer = browser.post(f"/api/v1/{path}", json=body)
            assert answer.status_code == 404
            assert "model_deploy" in answer.json()["error"]["message"]
    assert client.store.services() == ()


class Service(BaseHTTPRequestHandler):
    """What a service is to its clients, and one function that leads elsewhere."""

    asked: ClassVar[list[str]] = []
    broken: ClassVar[bool] = False

    METRICS = b"""
model_envelope_requests_total{route="/predict",status="200"} 19.0
model_envelope_requests_total{route="/predict",status="500"} 1.0
model_envelope_requests_total{route="/readyz",status="200"} 1000.0
model_envelope_request_duration_seconds_bucket{le="0.01",route="/predict"} 10.0
model_envelope_request_duration_seconds_bucket{le="0.5",route="/predict"} 20.0
model_envelope_request_duration_seconds_bucket{le="+Inf",route="/predict"} 20.0
model_envelope_started_timestamp_seconds 1.0
"""

    def do_GET(self) -> None:
        body = self.METRICS if self.path == "/metrics" else b"busy"
        self._answer(503 if self.broken and self.path == "/readyz" else 200, body)

    def do_POST(self) -> None:
        self.asked.append(self.path)
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if sent == b'"elsewhere"':
            self._answer(307, b"", Location="http://127.0.0.1:1/secret")
        elif sent == b'"much"':
            self._answer(200, b"x" * (5 << 20))
        else:
            self._answer(200, b'{"you sent": %s}' % sent)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, type[Service]]]:
    class Mine(Service):
        asked: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Mine) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Mine
        server.shutdown()


def test_a_service_is_asked_how_it_is(
    get: Any, store: Store, save: Save, service: tuple[str, type[Service]]
) -> None:
    url, kind = service
    model = save()
    store.want("ltv", target=PROCESS, envelope_id=model.id, by="ada")
    nothing = get("services/ltv/health")
    assert (nothing["state"], nothing["replicas"]) == ("unknown", [])
    lived(store, model.id)
    gone = get("services/ltv/health")
    assert gone["state"] == "unknown"
    assert "can be asked" in gone["message"]
    lived(store, save().id, url=url)
    good = get("services/ltv/health")
    assert good["state"] == "healthy"
    assert good["replicas"] == [{"address": url, "ready": True, "restarts": 0, "detail": ""}]
    assert good["rates"]["error_share"] == 0.05
    assert good["rates"]["p95_seconds"] == 0.5
    assert 0 < good["rates"]["requests_per_minute"] < 0.01
    kind.broken = True
    bad = get("services/ltv/health")
    assert bad["state"] == "unhealthy"
    assert bad["replicas"][0]["detail"] == "busy"


def test_only_the_functions_of_what_is_live_are_called(
    send: Any, store: Store, save: Save, service: tuple[str, type[Service]]
) -> None:
    url, kind = service
    assert send("POST", "services/ltv/call/predict", [], 404)["code"] == "service_not_found"
    model = save()
    store.want("ltv", target=PROCESS, envelope_id=model.id, by="ada")
    assert "runs nothing" in send("POST", "services/ltv/call/predict", [], 409)["message"]
    lived(store, model.id, url=url)
    called = send("POST", "services/ltv/call/predict", [{"a": 1}])
    assert called["status"] == 200
    assert called["body"] == '{"you sent": [{"a":1}]}'
    assert called["seconds"] > 0
    assert not called["truncated"]
    for path in ("livez", "invocations", "control"):
        assert "no function" in send("POST", f"services/ltv/call/{path}", [], 404)["message"]
    for path in ("..%2Fadmin", "a.b", "predict%0d%0aHost:x", "http:%2F%2Fexample.com"):
        assert send("POST", f"services/ltv/call/{path}", [], 405 if "%2F" in path else 422)
    assert kind.asked == ["/predict"]
    elsewhere = send("POST", "services/ltv/call/predict", "elsewhere")
    assert (elsewhere["status"], elsewhere["body"]) == (307, "")
    assert "location" not in elsewhere["headers"]
    much = send("POST", "services/ltv/call/predict", "much")
    assert much["truncated"]
    assert len(much["body"]) == 4 << 20
    lived(store, save().id)
    assert "not answered" in send("POST", "services/ltv/call/predict", [], 502)["message"]


def test_logs_that_are_gone_are_told(get: Any, store: Store, save: Save) -> None:
    model = save()
    store.want("ltv", target=PROCESS, envelope_id=model.id, by="ada")
    assert "runs nothing" in get("services/ltv/logs", 409)["message"]
    lived(store, model.id)
    assert "no release" in get("services/ltv/logs", 502)["message"]
    assert get("services/ltv/logs", 422, lines=0)
    assert get("services/ltv/logs", 422, deployment="../x")


def test_batch_predictions_come_in_pages(get: Any, store: Store, save: Save) -> None:
    one, two = save(tags={"canonical_name": "one"}), save(tags={"canonical_name": "two"})
    for i in range(5):
        request = {
            "inputs": {"t": f"db.t{i}"},
            "output": "db.out",
            "query_function": "predict",
            "logical_date": "2026-01-01",
        }
        store.start_batch(f"run/{i}", (one if i % 2 else two).id, request)
    store.finish_batch("run/3", {"rows": 42, "seconds": {"total": 1.5}})
    store.fail_batch("run/4", "Spark died")
    found, cursor = [], None
    while True:
        page = get("batch", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [item["run_key"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [f"run/{i}" for i in (4, 3, 2, 1, 0)]
    failed, done, *_ = get("batch")["items"]
    assert (failed["state"], failed["error"], failed["rows"]) == ("failed", "Spark died", None)
    assert (done["state"], done["rows"], done["seconds"]) == ("done", 42, 1.5)
    assert (done["name"], done["function"]) == ("one", "predict")
    assert (done["input_tables"], done["output_table"]) == (["db.t3"], "db.out")
    assert {row["envelope"] for row in get("batch", q="canonical_name == 'one'")["items"]} == {
        one.id
    }
    mine = get(f"models/{two.id}/batch")["items"]
    assert [row["run_key"] for row in mine] == ["run/4", "run/2", "run/0"]
    assert get("batch", envelope=two.id)["items"] == mine
    assert get("batch", 422, q="a ==")["position"] == 4


def test_a_run_of_a_dag_tells_what_it_did(
    get: Any, store: Store, save: Save, new_manifest: Callable[..., Manifest]
) -> None:
    task = {"dag_id": "train", "run_id": "manual/1", "task_id": "fit", "map_index": "2"}
    model = save(new_manifest(provenance=Provenance(user="ada", airflow=task)))
    store.start_batch("k", model.id, {}, airflow={**task, "task_id": "score"})
    store.want("ltv", target=PROCESS, envelope_id=model.id, by="ada")
    fence = store.claim("ltv", "me", HOUR)
    assert fence is not None
    store.begin_deployment(
        "ltv", fence, new_id(), envelope_id=model.id, by="ada", generation=1, airflow=task
    )
    found = get("runs", dag_id="train", run_id="manual/1")
    assert [row["id"] for row in found["envelopes"]] == [model.id]
    ref = {"dag_id": "train", "run_id": "manual/1", "task_id": "fit", "map_index": 2}
    assert found["envelopes"][0]["source"] == ref
    assert found["predictions"][0]["run"] == {**ref, "task_id": "score"}
    assert found["deployments"][0]["run"] == ref
    nothing: dict[str, list[Any]] = {"envelopes": [], "predictions": [], "deployments": []}
    assert get("runs", dag_id="train", run_id="other") == nothing
    assert get("runs", 422, dag_id="train")


def test_lists_take_as_many_statements_however_long_they_are(
    browser: TestClient, store: Store, save: Save
) -> None:
    for path in ("services", "deployments", "batch", "rules", "plan?explain=1"):
        for few in range(2):
            add(store, save, f"{path.partition('?')[0]}-{few}")
        with statements() as first:
            assert browser.get(f"/api/v1/{path}").status_code == 200
        with statements() as one:
            assert browser.get(f"/api/v1/{path}").status_code == 200
        for many in range(10):
            add(store, save, f"{path.partition('?')[0]}-more-{many}")
        with statements() as more:
            assert browser.get(f"/api/v1/{path}").status_code == 200
        assert first
        assert len(one) == len(more), path


def add(store: Store, save: Save, name: str) -> None:
    model = save(tags={"service": name})
    lived(store, model.id, name)
    spec = {"when": f"service == '{name}'", "target": PROCESS, "select": "latest"}
    store.put_rule(name, name, spec)
    store.start_batch(name, model.id, {})


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of databases meanwhile."""
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)
