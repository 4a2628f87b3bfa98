"""Media types: of bodies, and those that clients accept."""

from __future__ import annotations

from model_envelope.serving.formats.refusals import BadRequest

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
BINARY = "application/octet-stream"


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
