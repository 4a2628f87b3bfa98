"""Saved views: the search part of a URL under a name."""

from __future__ import annotations

import pytest

from model_envelope.errors import InvalidInput
from model_envelope.store import views
from model_envelope.store.store import Store

HOSTILE = "<script>alert('x')</script>"


def test_a_view_is_kept_and_replaced_by_its_name(store: Store) -> None:
    first = store.put_view("weekly", "?q=region%20%3D%3D%20'US'&split=region", "ann")
    assert first.search == "q=region%20%3D%3D%20'US'&split=region"
    store.put_view(HOSTILE, "q=", "eve")
    second = store.put_view("weekly", "q=", "bob")
    assert second.at >= first.at
    assert [(v.name, v.search, v.actor) for v in store.views()] == [
        (HOSTILE, "q=", "eve"),
        ("weekly", "q=", "bob"),
    ]
    assert store.views()[1] == second


def test_a_view_is_forgotten_once(store: Store) -> None:
    store.put_view("weekly", "q=")
    assert store.remove_view("weekly")
    assert not store.remove_view("weekly")
    assert store.views() == ()


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("", "q="),
        (" weekly", "q="),
        ("a\nb", "q="),
        ("x" * 129, "q="),
        ("weekly", "q=\n"),
        ("weekly", "q=#top"),
        ("weekly", "x" * 20_001),
    ],
)
def test_what_is_no_view_is_refused(store: Store, name: str, search: str) -> None:
    with pytest.raises(InvalidInput):
        store.put_view(name, search)
    assert store.views() == ()


def test_there_is_an_end_to_views(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_VIEWS", 2)
    for name in ("a", "b", "b"):
        store.put_view(name, "q=")
    with pytest.raises(InvalidInput, match="2 saved views already: delete one"):
        store.put_view("c", "q=")
