"""What the schemas of Kubernetes let through, and its API server, or a node, does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_envelope.deployment.targets.kubernetes_options import (
    is_label_key,
    is_label_value,
    is_name,
)
from model_envelope.errors import InvalidInput

Manifest = Mapping[str, Any]

_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_SELECTING = ("Deployment", "PodDisruptionBudget")
_LONGEST_NAME = 52
"""With what a ReplicaSet adds, the name of a Deployment is still a label's value."""
_ANNOTATIONS = 256 << 10


def check(manifests: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Manifests of one release, as given.

    Raises:
        InvalidInput: the cluster would refuse them, or could not run them; says all of it.
    """
    problems = [
        f"{manifest['kind']} {manifest['metadata']['name']!r:.80}: {problem}"
        for manifest in manifests
        for problem in _problems(manifest, manifests)
    ]
    if problems:
        raise InvalidInput("These manifests cannot be applied: " + "; ".join(problems) + ".")
    return tuple(manifests)


def _problems(manifest: Manifest, beside: Sequence[Manifest]) -> Iterator[str]:
    yield from _of_metadata(manifest["metadata"])
    if not is_name(manifest["metadata"]["name"]):
        yield "its name is no DNS name"
    spec = manifest.get("spec", {})
    if manifest["kind"] == "Deployment":
        if len(manifest["metadata"]["name"]) > _LONGEST_NAME:
            yield f"its name is longer than {_LONGEST_NAME} characters"
        yield from _of_deployment(spec)
    if manifest["kind"] == "HorizontalPodAutoscaler":
        low, high = spec["minReplicas"], spec["maxReplicas"]
        if not 1 <= low <= high:
            yield f"there are no numbers from {low} to {high}"
    if manifest["kind"] in _SELECTING:
        chosen = spec["selector"]["matchLabels"]
        pods = [m["spec"]["template"]["metadata"] for m in beside if m["kind"] == "Deployment"]
        if not any(chosen.items() <= pod["labels"].items() for pod in pods):
            yield "its selector selects none of the pods"


def _of_metadata(metadata: Manifest) -> Iterator[str]:
    labels, annotations = metadata.get("labels", {}), metadata.get("annotations", {})
    for key in (*labels, *annotations):
        if not is_label_key(key):
            yield f"{key!r:.80} is no name of a label"
    for key, value in labels.items():
        if not is_label_value(value):
            yield f"label {key} is {value!r:.100}"
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS:
        yield "its annotations are longer than 256 KiB"


def _of_deployment(spec: Manifest) -> Iterator[str]:
    rolling = spec["strategy"]["rollingUpdate"]
    if rolling["maxSurge"] == rolling["maxUnavailable"] == 0:
        yield "with maxSurge and maxUnavailable 0 no pod can be replaced"
    template = spec["template"]
    yield from _of_metadata(template["metadata"])
    names = {volume["name"] for volume in template["spec"].get("volumes", ())}
    for container in template["spec"]["containers"]:
        yield from _of_container(container)
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in names:
                yield f"there is no volume {mount['name']!r:.80}"


def _of_container(container: Manifest) -> Iterator[str]:
    for bound, quantities in container["resources"].items():
        for resource, quantity in quantities.items():
            if not _QUANTITY.fullmatch(quantity):
                yield f"{bound} of {resource}: {quantity!r:.60} is no quantity"
    for port in container["ports"]:
        if "protocol" not in port:
            yield f"port {port['containerPort']} has no protocol, which applying it needs"
    sources = [v["valueFrom"] for v in container["env"] if "valueFrom" in v]
    if len(sources) < len(container["env"]):
        yield "values of variables belong in the Secret"
