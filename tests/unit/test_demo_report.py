"""The demo's page: self-contained, and hostile text stays text."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd

from demo.report import Section, bars, code, page, table

HOSTILE = "<script>alert('&\")</script>"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _read(html: str) -> _Tags:
    tags = _Tags()
    tags.feed(html)
    return tags


def test_hostile_text_stays_text_wherever_it_stands() -> None:
    frame = pd.DataFrame({HOSTILE: [HOSTILE], "actual": [1.0], "predicted": [2.0]})
    html = page(
        HOSTILE,
        HOSTILE,
        [
            Section(
                title=HOSTILE,
                text=HOSTILE,
                blocks=[table(frame), bars(frame, label=HOSTILE, caption=HOSTILE), code(HOSTILE)],
            )
        ],
    )
    tags = _read(html)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert "".join(tags.text).count(HOSTILE) == 10
    assert [a["aria-label"] for tag, a in tags.seen if tag == "svg"] == [HOSTILE]


def test_the_page_loads_nothing() -> None:
    html = page("Title", "Lead", [])
    for _, attributes in _read(html).seen:
        assert not {"src", "href", "srcset"} & attributes.keys()
    assert "url(" not in html
    assert "@import" not in html


def test_bars_are_to_scale() -> None:
    frame = pd.DataFrame({"decile": [1, 2], "predicted": [5.0, 10.0], "actual": [2.5, 0.0]})
    shapes = _read(bars(frame, label="decile", caption="Spend")).seen
    heights = [float(a["height"] or 0) for tag, a in shapes if tag == "rect"][:4]
    actual, predicted, second_actual, second_predicted = heights
    assert second_actual == 0
    assert predicted / second_predicted == 0.5
    assert actual / second_predicted == 0.25


def test_a_marked_row_stands_out_in_words_too() -> None:
    frame = pd.DataFrame({"model": ["a", "b"], "rmse": [1234.5, 6.0], "passes": [False, True]})
    tags = _read(table(frame, mark="passes"))
    assert [a.get("class") for tag, a in tags.seen if tag == "tr"] == [None, None, "good"]
    assert tags.text == ["model", "rmse", "passes", "a", "1,234.50", "b", "6.00", "yes"]
