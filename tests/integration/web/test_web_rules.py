"""Deployment rules by the API of the web."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model_envelope.envelope import EnvelopeRecord
from model_envelope.store.store import Store

Save = Callable[..., EnvelopeRecord]

SPEC = {"when": "stage == 'prod'", "service": "ltv"}


def test_a_rule_is_made_changed_and_taken_away(get: Any, send: Any, store: Store) -> None:
    assert get("rules") == {"items": []}
    made = send("PUT", "rules/best", {"spec": SPEC})
    assert (made["revision"], made["when"], made["service"]) == (1, "stage == 'prod'", "ltv")
    assert made["target"] == {"kind": "process", "options": {}}
    assert made["actor"]
    changed = {**SPEC, "when": "stage == 'test'"}
    assert send("PUT", "rules/best", {"spec": changed, "base_revision": 1})["revision"] == 2
    stale = send("PUT", "rules/best", {"spec": SPEC, "base_revision": 1}, 409)
    assert stale["code"] == "rule_changed"
    assert "revision 2" in stale["message"]
    assert send("PUT", "rules/best", {"spec": SPEC}, 409)
    assert store.get_rule("best").spec["when"] == "stage == 'test'"
    assert send("POST", "rules/best/pause", {"reason": "holidays"})["pause_reason"] == "holidays"
    assert not send("POST", "rules/best/resume", {})["paused"]
    again = send("PUT", "rules/best", {"spec": SPEC, "base_revision": 2})
    assert (again["revision"], again["when"]) == (3, "stage == 'prod'")
    assert send("DELETE", "rules/best")["removed"]
    assert get("rules") == {"items": []}
    history = get("rules/best/history")["items"]
    assert [one["revision"] for one in history] == [3, 3, 2, 2, 2, 1]
    assert send("PUT", "rules/best", {"spec": SPEC, "base_revision": 0})["revision"] == 4


def test_what_is_not_there_is_told(get: Any, send: Any) -> None:
    assert get("rules/none/history", 404)["code"] == "rule_not_found"
    assert send("POST", "rules/none/pause", {}, 404)
    assert send("POST", "rules/none/resume", {}, 404)
    assert send("DELETE", "rules/none", None, 404)
    assert send("PUT", "rules/..%2Fx", {"spec": SPEC}, 405)
    assert send("PUT", "rules/a!", {"spec": SPEC}, 422)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"when": "stage =="}, "when"),
        ({"service": "Admin"}, "service"),
        ({"target": "mainframe"}, "target"),
        ({"target": {"kind": "process", "size": 1}}, "target"),
        ({"select": "max auc"}, "select"),
        ({"gates": ["no such gate"]}, "gates"),
        ({"gate": []}, "gate"),
    ],
)
def test_what_is_wrong_of_a_rule_is_told_by_field(
    send: Any, get: Any, wrong: dict[str, Any], field: str
) -> None:
    spec = {**SPEC, "name": "best", **wrong}
    for method, path in (("POST", "rules/preview"), ("PUT", "rules/best")):
        error = send(method, path, {"spec": spec}, 422)
        assert error["code"] == "invalid_rule"
        assert error["fields"][field]["message"]
        assert error["fields"][field]["position"] == (8 if field == "when" else None)
    assert get("rules")["items"] == []


def test_a_preview_decides_as_the_rule_would(get: Any, send: Any, store: Store, save: Save) -> None:
    older, newest = save(tags={"stage": "prod", "ok": "true"}), save(tags={"stage": "prod"})
    spec = {**SPEC, "name": "best"}
    preview = send("POST", "rules/preview", {"spec": spec})
    assert preview["valid"]
    assert (preview["matched"], preview["older_matches"]) == (2, 1)
    assert preview["decision"]["action"] == "deploy"
    assert preview["decision"]["envelope"] == newest.id
    assert preview["overlap"] is None
    narrow = {**spec, "when": "stage == 'prod' and ok == 'true'"}
    near = send("POST", "rules/preview", {"spec": narrow})["decision"]
    assert near["envelope"] == older.id
    assert near["near"] == [
        {
            "envelope": newest.id,
            "name": "",
            "clause": "ok == 'true'",
            "actual": "no tag ok",
            "matches": 1,
        }
    ]
    assert get("rules")["items"] == []
    send("PUT", "rules/best", {"spec": spec})
    (row,) = get("rules")["items"]
    assert row["decision"] == {**preview["decision"], "near": []}
    (decision,) = get("plan", explain=1)["decisions"]
    assert decision == preview["decision"]
    other = send("POST", "rules/preview", {"spec": {**spec, "name": "other"}})
    assert not other["valid"]
    assert other["overlap"] == {"rule": "best", "service": "ltv"}
    refused = send("PUT", "rules/other", {"spec": spec}, 422)
    assert "'best'" in refused["message"]
    none = send("POST", "rules/preview", {"spec": {**spec, "when": "stage == 'x'"}})
    assert (none["matched"], none["decision"]["action"]) == (0, "no_match")
    store.pause_rule("best", "wait")
    assert send("POST", "rules/preview", {"spec": spec})["decision"]["action"] == "paused"


def test_a_rule_that_cannot_be_read_is_shown_and_held(get: Any, store: Store) -> None:
    store.put_rule("odd", "ltv", {"from": "a newer version"})
    (row,) = get("rules")["items"]
    assert row["when"] == ""
    assert row["decision"]["action"] == "hold"
    assert "cannot be read" in row["decision"]["reason"]
