"""Which cluster, as whom, and in which namespace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from model_envelope import config
from model_envelope.errors import TargetFailed
from model_envelope.optional import require

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """The official client's settings, and the namespace that everything is in.

    `inside` says that this process runs in the cluster, where it reaches pods by their
    addresses.
    """

    client: Any
    namespace: str
    inside: bool


def find_access() -> Access:
    """Access by the kubeconfig, or in a pod without one, as its service account.

    Raises:
        MissingDependency: the kubernetes package is not installed.
        TargetFailed: there is neither, or it cannot be read.
    """
    kube = require("kubernetes.config", "kubernetes")
    settings = require("kubernetes.client", "kubernetes").Configuration()
    context, file = config.kubernetes_context(), kubeconfig()
    inside = context is None and "KUBECONFIG" not in os.environ and (_ACCOUNT / "token").exists()
    try:
        if inside:
            kube.load_incluster_config(settings)
            own = (_ACCOUNT / "namespace").read_text().strip()
        else:
            kube.load_kube_config(file, context, settings, persist_config=False)
            own = _namespace(kube, file, context)
    except (kube.ConfigException, OSError, ValueError, KeyError, TypeError, YAMLError) as error:
        raise TargetFailed(
            f"There is no access to a Kubernetes cluster: {error} Set KUBECONFIG to a file with "
            f"one, and {config.KUBERNETES_CONTEXT} to its context, or run in a pod with a service "
            "account."
        ) from error
    return Access(client=settings, namespace=config.kubernetes_namespace() or own, inside=inside)


def kubeconfig() -> str:
    """The files, separated as in PATH, that kubectl reads, too."""
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


def _namespace(kube: Any, file: str, context: str | None) -> str:
    contexts, current = kube.list_kube_config_contexts(file)
    chosen = next((found for found in contexts if found["name"] == context), current)
    return str(chosen["context"].get("namespace") or "default")
