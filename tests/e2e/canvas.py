"""What is drawn on a canvas, as a test can see it."""

from __future__ import annotations

from typing import Any, cast

from playwright.sync_api import Locator, Page, expect

CANVAS = ".me-canvas canvas"
BLANK = """() => [...document.querySelectorAll(".me-canvas canvas")].some((canvas) => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size < 3;
})"""
HAS_COLOUR = """(colour) => {
    const canvas = document.querySelector(".me-canvas canvas");
    if (!canvas) return false;
    // Without the legend, which stands at the right. Edges of lines are nearly of their colour.
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width * 0.85, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
        const near = colour.every((part, i) => Math.abs(data[at + i] - part) <= 16);
        if (near && data[at + 3] > 150) return true;
    }
    return false;
}"""
LOWEST = """(canvas, height) => {
    const {data} = canvas.getContext("2d").getImageData(
        0, canvas.height - height, canvas.width, height);
    return new Uint32Array(data.buffer).reduce((sum, pixel) => (sum * 31 + pixel) % 2147483647, 7);
}"""
PICTURE = """async (bytes) => {
    const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
    const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    context.drawImage(picture, 0, 0);
    const {data} = context.getImageData(0, 0, picture.width, picture.height);
    return [picture.width, picture.height, new Set(new Uint32Array(data.buffer)).size];
}"""


def drawn(page: Page, many: int = 1) -> Locator:
    """The canvases, when there are so many and none of them is blank."""
    figures = page.locator("figure")
    expect(figures).to_have_count(many)
    for figure in figures.all():  # what nobody looks at is not drawn
        figure.scroll_into_view_if_needed()
    expect(page.locator(CANVAS)).to_have_count(many)
    page.wait_for_function(f"!({BLANK})()")
    return page.locator(CANVAS)


def wait_for_colour(page: Page, colour: str) -> None:
    """Waits until the first chart has something of a colour, such as `#0b66a8`."""
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    page.wait_for_function(f"(colour) => ({HAS_COLOUR})(colour)", arg=parts)


def has_colour(page: Page, colour: str) -> bool:
    """Whether the first chart has something of a colour."""
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool(page.evaluate(HAS_COLOUR, parts))


def axis(page: Page, *, but: int | None = None, height: int = 28) -> int:
    """What stands below a chart, as a number: equal where the axis shows the same range.

    Args:
        page: with the chart.
        but: waits until it is another one than this.
        height: in pixels.
    """
    last = None
    for _ in range(600):
        now = int(page.locator(CANVAS).first.evaluate(LOWEST, height))
        if now == last != but:  # it stands still
            return now
        last = now
        page.wait_for_timeout(50)
    raise AssertionError("The axis stayed as it was.")


def picture(page: Page, content: bytes) -> tuple[int, int, int]:
    """Width and height of a picture, and how many colours it has."""
    found = page.evaluate(PICTURE, list(content))
    return cast("tuple[int, int, int]", tuple(found))


def point_at(page: Page, x: float, y: float) -> dict[str, Any]:
    """Move the mouse to a place of the first canvas, in shares of its size; gives its box."""
    canvas = page.locator(CANVAS).first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
    return dict(box)
