"""Requirements as text: read strictly, because they end up on an installer's input."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from model_envelope.errors import InvalidInput


def read_requirements(lines: Sequence[str]) -> list[Requirement]:
    """Requirements that a user named, such as `scikit-learn>=1.5` or `pandas[excel]`.

    Those whose marker does not hold in this interpreter are left out.

    Raises:
        InvalidInput: one is no plain requirement: options, URLs, paths and line breaks are
            refused.
    """
    if isinstance(lines, str) or not all(isinstance(line, str) for line in lines):
        raise InvalidInput(
            "requirements must be a list of strings such as ['scikit-learn>=1.5'], "
            f"not {lines!r:.80}."
        )
    found = [_read(line) for line in lines]
    return [r for r in found if r.marker is None or r.marker.evaluate({"extra": ""})]


def _read(line: str) -> Requirement:
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise InvalidInput(
            f"{line!r:.200} is no requirement: write a distribution's name and a version "
            "condition, such as 'scikit-learn>=1.5'. Options of pip belong into the "
            "configuration of the package index."
        ) from error
    if requirement.url is not None:
        raise InvalidInput(
            f"{line!r:.200} names a URL. An environment is locked by the hashes of files in a "
            "package index: name a published version instead."
        )
    return requirement
