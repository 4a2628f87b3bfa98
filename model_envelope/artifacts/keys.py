"""Keys of artifact files."""

from __future__ import annotations

import re

from model_envelope import names
from model_envelope.errors import InvalidName

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]{0,199}")


def split(key: str) -> tuple[str, str]:
    """Envelope id and file name of a key: neither can lead out of its folder.

    Raises:
        InvalidName: it is no `<envelope id>/<file name>`.
    """
    envelope_id, _, name = key.partition("/")
    if not NAME.fullmatch(name):
        raise InvalidName(f"{key!r:.80} is no key of an artifact file: <envelope id>/<file name>.")
    return names.check_id(envelope_id), name
