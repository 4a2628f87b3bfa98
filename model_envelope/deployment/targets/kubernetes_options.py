"""The options of the `kubernetes` target."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from model_envelope.deployment.images.building import is_reference
from model_envelope.deployment.targets import process_options
from model_envelope.errors import InvalidInput

DEFAULTS: dict[str, Any] = {
    "replicas": 1,
    "threads": None,
    "cpus": 0.5,
    "max_cpus": None,
    "memory_mb": 1024,
    "startup_seconds": 180,
    "image": None,
    "url": None,
    "host": None,
    "tls_secret": None,
    "ingress_class": None,
    "ingress_annotations": {},
    "image_pull_secrets": [],
    "service_account": None,
    "node_selector": {},
    "tolerations": [],
    "predictions_claim": None,
    "env": {},
}
"""How many pods share a service's requests (a number, or see `Replicas`), threads of each
one's numerical libraries, processors that each is sure of and those that it may use at most,
its memory in MiB, how long a start may take; the image, unless it is built here and pushed
(`{envelope}` becomes the envelope's id); the URL, where something of yours leads to the
service (`{service}` becomes its name), or else the host, TLS secret, class and annotations
of an Ingress; secrets to pull the image with, the service account, which nodes, a
PersistentVolumeClaim for what is logged of predictions, and variables that the model's code
reads."""

MOST = 256
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_KEY = re.compile(
    rf"(?:(?=[^/]{{1,253}}/){_LABEL}(?:\.{_LABEL})*/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_URL = re.compile(r"https?://[A-Za-z0-9.{}-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/{}-]*)?")
_TOLERATION = {"key", "operator", "value", "effect"}
_FOR_INGRESS = ("tls_secret", "ingress_class", "ingress_annotations")


@dataclass(frozen=True, kw_only=True, slots=True)
class Replicas:
    """Between how many pods the cluster keeps a service, and by what.

    Attributes:
        min: there are never fewer.
        max: there are never more.
        cpu: percent of the processors it is sure of that a pod should use on average.
        cooldown_seconds: for how long fewer must have been enough before one is removed.
    """

    min: int
    max: int
    cpu: int = 70
    cooldown_seconds: int = 300

    @classmethod
    def read(cls, option: int | Mapping[str, Any]) -> Replicas:
        """What the option `replicas` says, once it was checked."""
        if isinstance(option, Mapping):
            return cls(**{"min": 1, **option})
        return cls(min=option, max=option)

    @property
    def is_fixed(self) -> bool:
        """Whether the load changes nothing."""
        return self.min == self.max

    def clamp(self, number: int) -> int:
        """The nearest number that is allowed."""
        return max(self.min, min(self.max, number))


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options complete with defaults.

    Raises:
        InvalidInput: some are unknown or wrong, or do not go together; names all of them.
    """
    given = process_options.complete("kubernetes", options, DEFAULTS, _CHECKS)
    problems = []
    if not given["host"]:
        problems += [
            f"{name} is for an Ingress, which needs a host" for name in _FOR_INGRESS if given[name]
        ]
    if given["max_cpus"] is not None and given["max_cpus"] < given["cpus"]:
        problems.append(f"max_cpus is less than cpus, {given['cpus']}")
    if problems:
        raise InvalidInput("Options of the target 'kubernetes': " + "; ".join(problems) + ".")
    return given


def is_label_value(value: Any) -> bool:
    """Whether a label may have it."""
    return isinstance(value, str) and _VALUE.fullmatch(value) is not None


def is_label_key(value: Any) -> bool:
    """Whether a label or annotation may be called so."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def is_name(value: Any) -> bool:
    """Whether an object may be called so: a DNS subdomain."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _are_replicas(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return type(value) is int and 1 <= value <= MOST
    given = {"min": 1, "cpu": 70, "cooldown_seconds": 300, **value}
    if given.keys() != {field.name for field in fields(Replicas)}:
        return False
    if not all(type(number) is int for number in given.values()):
        return False
    wanted = Replicas(**given)
    return (
        1 <= wanted.min <= wanted.max <= MOST
        and 1 <= wanted.cpu <= 1000
        and 0 <= wanted.cooldown_seconds <= 3600
    )


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and low <= value <= high


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _is_image(value: Any) -> bool:
    return isinstance(value, str) and is_reference(value.replace("{envelope}", "0" * 20))


def _is_url(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 2000 or not _URL.fullmatch(value):
        return False
    return not set("{}") & set(value.replace("{service}", ""))


def _are_annotations(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and all(is_label_key(key) and isinstance(text, str) for key, text in value.items())
        and sum(len(key) + len(text.encode()) for key, text in value.items()) < 200_000
    )


def _are_labels(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        is_label_key(key) and is_label_value(text) for key, text in value.items()
    )


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(is_name, value))


def _are_tolerations(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_toleration, value))


def _is_toleration(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value.keys() <= _TOLERATION:
        return False
    operator, text = value.get("operator", "Equal"), value.get("value", "")
    return (
        operator in ("Equal", "Exists")
        and (is_label_key(value.get("key")) or (operator == "Exists" and "key" not in value))
        and is_label_value(text)
        and not (operator == "Exists" and text)
        and value.get("effect", "NoExecute") in ("NoSchedule", "PreferNoSchedule", "NoExecute")
    )


_SHARED = process_options.CHECKS

_CHECKS: process_options.Checks = {
    "replicas": (
        f"a number from 1 to {MOST}, or a mapping of min and max, and if need be of cpu (percent) "
        "and cooldown_seconds (up to 3600)",
        _are_replicas,
    ),
    "threads": _SHARED["threads"],
    "cpus": ("a number from 0.01 to 1024", _number(0.01, 1024)),
    "max_cpus": ("a number from 0.01 to 1024, or None", _or_none(_number(0.01, 1024))),
    "memory_mb": ("a number from 64", lambda value: type(value) is int and 64 <= value <= 1 << 24),
    "startup_seconds": ("a number from 10 to 86400", lambda v: type(v) is int and 10 <= v <= 86400),
    "image": ("the name of an image, where {envelope} may be part of it", _or_none(_is_image)),
    "url": ("an http or https URL, where {service} may be part of it", _or_none(_is_url)),
    "host": ("a host name in lower case", _or_none(is_name)),
    "tls_secret": ("the name of a Secret", _or_none(is_name)),
    "ingress_class": ("the name of an IngressClass", _or_none(is_name)),
    "ingress_annotations": ("a mapping of annotations' names to texts", _are_annotations),
    "image_pull_secrets": ("a list of Secrets' names", _are_names),
    "service_account": ("the name of a ServiceAccount", _or_none(is_name)),
    "node_selector": ("a mapping of nodes' labels to values", _are_labels),
    "tolerations": (
        "a list of mappings of key, operator, value and effect, as pods have them",
        _are_tolerations,
    ),
    "predictions_claim": ("the name of a PersistentVolumeClaim", _or_none(is_name)),
    "env": _SHARED["env"],
}
