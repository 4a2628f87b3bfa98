"""Who has the traffic, and who comes too late."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_envelope.deployment.targets.protocol import Route, Split
from model_envelope.deployment.targets.routing_table import RoutingTable
from model_envelope.errors import FenceLost, TargetFailed

OLD = Route(service="s", release="old", fence=1)
NEW = Route(service="s", release="new", fence=2)
OTHER = Route(service="t", release="other", fence=7)


def table(file: Path, *routes: Route) -> RoutingTable:
    found = RoutingTable.read(file)
    found.replace(routes)
    found.save()
    return RoutingTable.read(file)


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    assert RoutingTable.read(file).routes == {}
    assert table(file, NEW, OTHER).routes == {"s": NEW, "t": OTHER}
    assert table(file, OTHER).routes == {"t": OTHER}


def test_a_fence_is_remembered_when_the_service_is_gone(tmp_path: Path) -> None:
    table(tmp_path / "routes.json", NEW)
    gone = table(tmp_path / "routes.json")
    with pytest.raises(FenceLost, match="fence 2 was here, 1 is late"):
        gone.check_fence("s", 1)
    gone.check_fence("s", 2)
    gone.check_fence("t", 1)
    with pytest.raises(FenceLost):
        gone.check_fence("t", 1, at_least=2)


def test_only_what_has_the_traffic_is_live(tmp_path: Path) -> None:
    found = table(tmp_path / "routes.json", NEW)
    found.check_live(NEW)
    with pytest.raises(FenceLost):
        found.check_live(OLD)
    with pytest.raises(TargetFailed, match="other does not have t's traffic"):
        found.check_live(OTHER)
    assert not found.remove("old")
    assert found.remove("new")
    assert found.routes == {}


def test_a_split_lasts_as_long_as_both_who_share(tmp_path: Path) -> None:
    split = Split(mode="canary", candidate="new", share=0.5)
    found = table(tmp_path / "routes.json", OLD, OTHER)
    found.splits["s"] = split
    found.save()
    found = RoutingTable.read(found.file)
    assert found.splits == {"s": split}
    found.replace([OLD])
    assert found.splits == {"s": split}
    found.replace([NEW])
    assert found.splits == {}
    found.splits["s"] = split
    assert found.end_split("somebody else") is None
    assert found.end_split("new") == NEW
    assert found.splits == {}
    found.splits["s"] = split
    found.remove("new")
    assert found.splits == {}
