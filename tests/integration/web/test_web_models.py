"""Models by the API of the web, compared with what the store says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from model_envelope.client.client import Client
from model_envelope.envelope import EnvelopeRecord
from model_envelope.store.rows import MetricPoint
from model_envelope.store.store import Store

Save = Callable[..., EnvelopeRecord]

API = "/api/v1/"
HOSTILE = "<script>alert('1')</script>&\"'"


def measured(value: float | None, name: str = "auc", **more: Any) -> MetricPoint:
    return MetricPoint(name=name, at=datetime.now(UTC), value=value, **more)


def test_an_empty_store_has_an_empty_list(get: Any) -> None:
    assert get("models") == {"items": [], "next": None, "matched": 0, "total": 0, "hint": None}
    assert get("tags") == {"matched": 0, "facets": []}
    assert get("metrics")["metrics"] == []


def test_pages_hold_every_match_once_whatever_is_saved_meanwhile(get: Any, save: Save) -> None:
    saved = [save(tags={"region": "US"}).id for _ in range(7)]
    save(tags={"region": "UK"})
    cursor, found = None, []
    while True:
        asked: dict[str, Any] = {"cursor": cursor} if cursor else {}
        page = get("models", q="region == 'US'", limit=3, **asked)
        found += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        save(tags={"region": "US"})
    assert found == saved[::-1]
    assert page["total"] == page["matched"] + 1 == 10


def test_a_row_tells_where_a_model_is_from_and_where_it_runs(
    get: Any, store: Store, save: Save
) -> None:
    model = save(tags={"canonical_name": "ltv", "region": "US"}, description="Value")
    store.want("ltv-us", target={"kind": "process", "options": {}}, envelope_id=model.id, by="ada")
    (row,) = get("models")["items"]
    assert row["name"] == "ltv"
    assert row["description"] == "Value"
    assert row["created_at"].endswith("Z")
    assert row["services"] == [{"name": "ltv-us", "url": None, "live": False}]
    assert row["source"] is None
    assert get(f"models/{model.id}")["needed_by"] == ["ltv-us"]


def test_models_are_sorted_by_a_metric_and_show_it(get: Any, store: Store, save: Save) -> None:
    best, none, worst, odd = (save() for _ in range(4))
    store.log_many(
        {
            best.id: [measured(0.9)],
            worst.id: [measured(0.1)],
            odd.id: [measured(None, body="NaN")],
        }
    )
    page = get("models", sort="-metric:auc", metrics="auc,other")
    assert [item["id"] for item in page["items"]][:2] == [best.id, worst.id]
    values = {item["id"]: item["metrics"] for item in page["items"]}
    assert values[best.id] == {"auc": 0.9, "other": None}
    assert values[odd.id] == {"auc": "NaN", "other": None}
    assert values[none.id] == {"auc": None, "other": None}
    least = get("models", sort="metric:auc", limit=1)["items"][0]
    assert least["id"] == worst.id


def test_chosen_ids_come_in_their_order(get: Any, save: Save) -> None:
    first, second = save(), save()
    asked = f"{first.id},{second.id},{'0' * 20},{first.id}"
    assert [item["id"] for item in get("models", ids=asked)["items"]] == [first.id, second.id]


def test_archived_models_are_shown_on_demand(get: Any, store: Store, save: Save) -> None:
    model = save()
    store.archive(model.id)
    assert get("models")["matched"] == 0
    assert get("models")["total"] == 1
    assert get("models", archived=1)["items"][0]["archived"]


def test_without_a_match_the_clause_to_drop_is_named(get: Any, save: Save) -> None:
    save(tags={"region": "US", "stage": "dev"})
    save(tags={"region": "UK", "stage": "prod"})
    page = get("models", q="region == 'US' and stage == 'prod' and (a == 'b' or stage == 'prod')")
    assert page["matched"] == 0
    assert page["hint"]["matches_without"] == 1


def test_what_is_asked_wrongly_is_told(get: Any, save: Save) -> None:
    save()
    wrong = get("models", 422, q="region <> 'US'")
    assert wrong["code"] == "tag_query_error"
    assert wrong["position"] >= 7
    assert get("models", 422, q="x" * 30_000)["fields"]["q"]
    assert get("models", 422, limit=201)["fields"]["limit"]
    assert "cursor" in get("models", 422, cursor="nonsense")["message"]
    assert "order_by" in get("models", 422, sort="size")["message"]
    assert get("models", 422, metrics="a b")["code"] == "invalid_name"
    assert get("models", 422, ids="../etc")["code"] == "invalid_name"
    assert get("models/abcd", 404)["code"] == "envelope_not_found"
    assert get("models/..%2F..%2Fetc", 404)
    assert get("models/xyz!", 422)
    assert get("tags", 422, top=0)
    assert get("tags", 422, q="a ==")["position"] == 4


def test_counts_of_a_tag_leave_out_what_is_asked_of_it(get: Any, save: Save) -> None:
    for region, line in (("US", "a"), ("US", "b"), ("UK", "a"), ("DE", "b")):
        save(tags={"region": region, "line": line})
    found = get("tags", q="region in ('US', 'FR') and line == 'a'")
    assert found["matched"] == 1
    region, line = found["facets"]
    assert region["key"] == "region"
    assert region["distinct"] == 2
    assert region["values"] == [
        {"value": "UK", "count": 1, "chosen": False},
        {"value": "US", "count": 1, "chosen": True},
        {"value": "FR", "count": 0, "chosen": True},
    ]
    assert line["values"] == [
        {"value": "a", "count": 1, "chosen": True},
        {"value": "b", "count": 1, "chosen": False},
    ]
    both = get("tags", q="region == 'US' or line == 'a'")["facets"]
    assert {facet["key"]: facet["models"] for facet in both} == {"region": 3, "line": 3}
    assert [facet["key"] for facet in get("tags", keys="line")["facets"]] == ["line"]
    (most,) = get("tags", keys="region", top=1)["facets"]
    assert most["values"] == [{"value": "US", "count": 2, "chosen": False}]
    assert most["distinct"] == 3


def test_what_charts_can_be_made_of(get: Any, store: Store, save: Save) -> None:
    first, second = save(tags={"region": "US"}), save(tags={"region": "UK"})
    curve = measured(None, "roc", type="roc_curve", body="{}")
    store.log_many({first.id: [measured(0.5), curve], second.id: [measured(0.6)]})
    store.log_metrics(first.id, [measured(0.7, step=1)])
    store.set_hyperparameters(first.id, {"lr": 0.1})
    found = get("metrics")
    assert found["matched"] == 2
    assert found["metrics"] == [
        {"name": "auc", "type": "scalar", "scalar": True, "models": 2},
        {"name": "roc", "type": "roc_curve", "scalar": False, "models": 1},
    ]
    assert found["hyperparameters"] == [{"name": "lr", "models": 1}]
    assert found["tags"] == [{"key": "region", "values": 2, "models": 2}]
    assert get("metrics", q="region == 'UK'")["hyperparameters"] == []


def test_one_model_is_compared_with_the_one_before_that_is_most_like_it(
    get: Any, store: Store, save: Save
) -> None:
    def model(region: str) -> EnvelopeRecord:
        return save(tags={"canonical_name": "ltv", "region": region})

    before, _other, now = model("US"), model("UK"), model("US")
    store.log_metrics(before.id, [measured(0.5)])
    store.log_metrics(now.id, [measured(0.6), measured(0.7, step=1), measured(1.0, "roc.auc")])
    store.log_metrics(now.id, [measured(None, "roc", type="roc_curve", body="{}")])
    store.set_tags(now.id, {"stage": "prod"})
    assert get(f"models/{now.id[:8]}")["previous"] == before.id
    assert get(f"models/{before.id}")["previous"] is None
    metrics = get(f"models/{now.id}/metrics")
    assert metrics["previous"] == before.id
    assert [(m["name"], m["value"], m["step"], m["previous"]) for m in metrics["scalars"]] == [
        ("auc", 0.7, 1, 0.5),
        ("roc.auc", 1.0, 0, None),
    ]
    assert metrics["charts"] == [{"name": "roc", "type": "roc_curve"}]
    differences = get(f"models/{now.id}/differences")
    assert (differences["first"], differences["second"]) == (before.id, now.id)
    assert differences["tags"]["added"] == {"stage": "prod"}
    assert differences["metrics"]["changed"] == {"auc": [0.5, 0.7]}
    assert "no model before" in get(f"models/{before.id}/differences", 404)["message"]
    chosen = get(f"models/{before.id}/differences", against=now.id)
    assert chosen["tags"]["removed"] == {"stage": "prod"}


def test_the_data_of_two_models_shares_its_bins(client: Client, get: Any) -> None:
    samples = [range(100), range(50, 250)]
    models = [
        client.save_model(
            doubled,
            tags={"canonical_name": "twice"},
            api_input=pd.DataFrame({"x": [*values, None], "kind": ["a"] * len(values) + ["b"]}),
        )
        for values in samples
    ]
    found = get(f"models/{models[1].id}/statistics", against="previous")["predict"]["input"]
    assert found["against"] == models[0].id
    columns = {column["name"]: column for column in found["columns"]}
    x = columns["x"]
    assert (x["count"], x["nulls"], x["min"], x["max"]) == (201, 1, 50, 249)
    assert x["quantiles"]["p50"] == pytest.approx(149, abs=5)
    assert x["histogram"]["edges"] == x["against"]["histogram"]["edges"]
    assert (x["histogram"]["edges"][0], x["histogram"]["edges"][-1]) == (0, 249)
    assert sum(x["histogram"]["counts"]) == 200
    assert sum(x["against"]["histogram"]["counts"]) == 100
    assert x["histogram"]["counts"][0] == 0
    assert columns["kind"]["top"][0] == {"value": "a", "count": 200}
    alone = get(f"models/{models[1].id}/statistics")["predict"]["input"]
    assert alone["against"] is None
    assert {column["against"] for column in alone["columns"]} == {None}
    shown = get(f"models/{models[1].id}")
    (function,) = shown["functions"]
    assert function["input"]["columns"][1] == {
        "name": "kind",
        "type": "string",
        "nullable": False,
        "example": "a",
    }
    assert shown["size"] == sum(file["size"] for file in shown["files"].values())
    assert {"pandas", "pyarrow"} < {d["name"] for d in shown["environment"]["distributions"]}


def doubled(frame: Any) -> Any:
    return frame["x"] * 2


doubled.__module__ = "__main__"  # as in a notebook: saved by value


def test_a_model_is_changed_by_who_asks(
    browser: TestClient, mine: dict[str, str], get: Any, save: Save
) -> None:
    model = save(tags={"region": "US", "old": "x"})
    change = {
        "set_tags": {"region": "UK"},
        "remove_tags": ["old"],
        "description": HOSTILE,
        "archived": True,
    }
    changed = browser.patch(f"{API}models/{model.id}", json=change, headers=mine)
    assert changed.status_code == 200
    assert changed.json()["tags"] == {"region": "UK"}
    assert changed.json()["description"] == HOSTILE
    assert changed.json()["archived"]
    history = get(f"models/{model.id}/history")["items"]
    assert [one["kind"] for one in history] == ["archived", "description", "tags", "tags", "saved"]
    assert history[0]["actor"]
    back = browser.patch(f"{API}models/{model.id}", json={"archived": False}, headers=mine)
    assert not back.json()["archived"]


@pytest.mark.parametrize(
    "change",
    [
        {"set_tags": {"a": 1}},
        {"set_tags": {"": "x"}},
        {"set_tags": {"a": "x\u202e"}},
        {"set_tags": {"a": "1"}, "remove_tags": ["a"]},
        {"archived": "yes"},
        {"archive": True},
        {"description": "x" * 20_001},
        {"description": "\0"},
        [],
        "x",
    ],
)
def test_a_change_that_is_wrong_changes_nothing(
    browser: TestClient, mine: dict[str, str], get: Any, save: Save, change: Any
) -> None:
    model = save(tags={"b": "c"})
    change = {"set_tags": {"new": "tag"}, **change} if isinstance(change, dict) else change
    if "set_tags" in change and "a" in change["set_tags"]:
        change["set_tags"]["new"] = "tag"
    answer = browser.patch(f"{API}models/{model.id}", json=change, headers=mine)
    assert answer.status_code == 422, answer.text
    assert get(f"models/{model.id}")["tags"] == {"b": "c"}
    assert len(get(f"models/{model.id}/history")["items"]) == 1


def test_a_body_has_bounds(browser: TestClient, mine: dict[str, str], save: Save) -> None:
    model = save()
    large = b'{"description": "' + b"x" * (5 << 20) + b'"}'
    headers = {**mine, "Content-Type": "application/json"}
    for body in (large, (large[i : i + 99_999] for i in range(0, len(large), 99_999))):
        answer = browser.patch(f"{API}models/{model.id}", content=body, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"]["message"]


def test_hostile_text_stays_text(browser: TestClient, save: Save) -> None:
    save(tags={"canonical_name": HOSTILE, "</title>": "x"}, description=HOSTILE)
    answer = browser.get(API + "models")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["items"][0]["name"] == HOSTILE
    assert answer.json()["items"][0]["description"] == HOSTILE


def test_a_list_takes_as_many_statements_however_long_it_is(
    browser: TestClient, save: Save, store: Store
) -> None:
    def statements(path: str) -> int:
        asked: list[str] = []

        def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            asked.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert browser.get(API + path).status_code == 200
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(asked)

    for path in ("models?metrics=auc&limit=200", "tags", "metrics"):
        model = save(tags={"a": "b"})
        store.log_metrics(model.id, [measured(0.5)])
        assert statements(path) > 0  # the first one opens the store
        one = statements(path)
        for i in range(20):
            model = save(tags={"a": "b", f"tag{i}": "c"})
            store.log_metrics(model.id, [measured(0.5)])
        assert statements(path) == one
