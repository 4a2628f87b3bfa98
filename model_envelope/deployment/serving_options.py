"""What every service can be told beside its target's own options: limits, and what it logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from model_envelope.deployment.targets.protocol import Target
from model_envelope.errors import InvalidInput
from model_envelope.serving.plan import Limits, LogMode

MODES: tuple[LogMode, ...] = get_args(LogMode)
_WHOLE = ("body_bytes", "queue_rows", "batch_rows")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingOptions:
    """Options of a deployment, complete and checked.

    `target` are the target's own.
    """

    target: Mapping[str, Any]
    limits: Limits
    log_mode: LogMode
    log_share: float


def read_options(target: Target, given: Mapping[str, Any]) -> ServingOptions:
    """Options as people and rules write them.

    `limits` is a mapping of `Limits`' fields; `log` is `off`, `statistics` or `rows`, or
    `{"mode": …, "share": …}`. All others are the target's own.

    Raises:
        InvalidInput: one is unknown or wrong.
    """
    mode, share = _log(given.get("log", "off"))
    own = {name: value for name, value in given.items() if name not in ("limits", "log")}
    return ServingOptions(
        target=target.check_options(own),
        limits=_limits(given.get("limits") or {}),
        log_mode=mode,
        log_share=share,
    )


def _limits(given: Any) -> Limits:
    known = asdict(Limits())
    if not isinstance(given, Mapping) or not given.keys() <= known.keys():
        raise InvalidInput(f"limits is a mapping of {', '.join(known)}; not {given!r:.100}.")
    for name, value in given.items():
        whole = name in _WHOLE
        right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not right or not 0 < value < float("inf"):
            kind = "a whole number" if whole else "a number"
            raise InvalidInput(f"limits: {name} is {kind} above 0, not {value!r:.60}.")
    return Limits(**given)


def _log(given: Any) -> tuple[LogMode, float]:
    body = given if isinstance(given, Mapping) else {"mode": given}
    mode, share = body.get("mode", "off"), body.get("share", 1.0)
    # YAML reads a bare `off` as false.
    mode = "off" if mode is False or mode is None else mode
    right = isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1
    if mode not in MODES or not right or not body.keys() <= {"mode", "share"}:
        raise InvalidInput(
            f"log is one of {', '.join(MODES)}, or a mapping of a mode and a share from 0 to 1; "
            f"not {given!r:.100}."
        )
    return mode, float(share)
