"""Where things are: the only module that reads this package's environment variables."""

from __future__ import annotations

import os
from pathlib import Path

STORE = "MODEL_ENVELOPE_STORE"
ARTIFACTS = "MODEL_ENVELOPE_ARTIFACTS"
HOME = "MODEL_ENVELOPE_HOME"
CACHE = "MODEL_ENVELOPE_CACHE"
STATE = "MODEL_ENVELOPE_STATE"
SPARK_MASTER = "MODEL_ENVELOPE_SPARK_MASTER"
BASE_IMAGE = "MODEL_ENVELOPE_BASE_IMAGE"
IMAGE_REPOSITORY = "MODEL_ENVELOPE_IMAGE_REPOSITORY"
DOCKER_NETWORK = "MODEL_ENVELOPE_DOCKER_NETWORK"
PROXY_URL = "MODEL_ENVELOPE_PROXY_URL"
PROXY_BIND = "MODEL_ENVELOPE_PROXY_BIND"
PROXY_ADMIN = "MODEL_ENVELOPE_PROXY_ADMIN"
PROXY_CONFIG = "MODEL_ENVELOPE_PROXY_CONFIG"
KUBERNETES_CONTEXT = "MODEL_ENVELOPE_KUBERNETES_CONTEXT"
KUBERNETES_NAMESPACE = "MODEL_ENVELOPE_KUBERNETES_NAMESPACE"
KUBERNETES_PODS = "MODEL_ENVELOPE_KUBERNETES_PODS"


def home() -> Path:
    """The folder of the embedded store."""
    return Path(os.environ.get(HOME) or "~/.model-envelope").expanduser()


def store_url() -> str:
    """The store's SQLAlchemy URL: SQLite in `home()` unless set."""
    return os.environ.get(STORE) or f"sqlite:///{home() / 'store.sqlite'}"


def artifacts_address() -> str:
    """A directory or `s3://bucket/prefix`: a folder in `home()` unless set."""
    return os.environ.get(ARTIFACTS) or str(home() / "artifacts")


def cache() -> Path:
    """The folder of what can be made again: environments, downloaded artifacts."""
    return Path(os.environ.get(CACHE) or "~/.cache/model-envelope").expanduser()


def state() -> Path:
    """The folder of what runs on this machine: supervisors of services, the proxy's routes."""
    return Path(os.environ.get(STATE) or home() / "state").expanduser()


def spark_master() -> str:
    """The Spark master of batch predictions outside Airflow."""
    return os.environ.get(SPARK_MASTER) or "local[*]"


def base_image() -> str:
    """The image that services' images are built on: any with glibc and what Python links to."""
    return os.environ.get(BASE_IMAGE) or "docker.io/library/python:3.13-slim-bookworm"


def image_repository() -> str:
    """Where services' images are tagged; `registry.example/team/models` to push them there."""
    return os.environ.get(IMAGE_REPOSITORY) or "model-envelope"


def docker_network() -> str | None:
    """A Docker network that this process and the proxy are in, too: nothing is published.

    None where services are reached from the engine's own machine.
    """
    return os.environ.get(DOCKER_NETWORK) or None


def proxy_url() -> str:
    """The base URL of all services behind the proxy, as their clients know it."""
    return (os.environ.get(PROXY_URL) or "http://127.0.0.1:8780").rstrip("/")


def proxy_bind() -> str | None:
    """Where the proxy listens, such as `0.0.0.0:8780`; None for host and port of its URL."""
    return os.environ.get(PROXY_BIND) or None


def proxy_admin() -> str | None:
    """The master socket of a HAProxy that somebody else runs: `unix:/path` or `host:port`."""
    return os.environ.get(PROXY_ADMIN) or None


def proxy_config() -> Path | None:
    """The configuration file that such a HAProxy reads."""
    path = os.environ.get(PROXY_CONFIG)
    return Path(path) if path else None


def kubernetes_context() -> str | None:
    """The context of the kubeconfig; None for its current one, or for a pod's own account."""
    return os.environ.get(KUBERNETES_CONTEXT) or None


def kubernetes_namespace() -> str | None:
    """Where services are in the cluster; None for the context's, or the pod's, namespace."""
    return os.environ.get(KUBERNETES_NAMESPACE) or None


def kubernetes_pods() -> str | None:
    """How pods are reached: `direct` by their addresses, `forward` through the API server.

    None for `direct` from within the cluster, `forward` from elsewhere.
    """
    return os.environ.get(KUBERNETES_PODS) or None
