"""Media types: of bodies, and those that clients accept."""

from __future__ import annotations

from functools import lru_cache

from model_envelope.serving.formats.refusals import BadRequest

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
BINARY = "application/octet-stream"


@lru_cache(maxsize=64)
def media_of(content_type: str) -> str:
    """The media type of a header, without its parameters.

    Raises:
        BadRequest: 415 it is missing, or says another charset than UTF-8.
    """
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if not media:
        raise BadRequest(f"Say what the body is: Content-Type: {JSON}.", status=415)
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        charset = value.strip().strip("\"'").lower()
        if name.strip().lower() == "charset" and charset not in ("utf-8", "utf8", "us-ascii"):
            raise BadRequest(f"Bodies must be UTF-8, not {charset!r}.", status=415)
    return media


@lru_cache(maxsize=64)
def preferred(accept: str, default: str) -> str:
    """The media type of an answer: what the header `Accept` likes best of those we write.

    What is like any other for the client is answered as asked: by `default`. So is what
    accepts nothing that we write: an answer in another form is of more use than none.
    """
    if not accept or accept == "*/*":
        return default
    best, rank = default, (0.0, False)
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        exact = media in (JSON, ARROW, CSV)
        found = media if exact else default if _covers(media, default) else ""
        if found and (_weight(parameters), exact) > rank:
            best, rank = found, (_weight(parameters), exact)
    return best


def _covers(wide: str, media: str) -> bool:
    return wide in ("*/*", f"{media.partition('/')[0]}/*")


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
