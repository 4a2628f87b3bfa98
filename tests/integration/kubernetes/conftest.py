"""A service's life in a cluster of Kubernetes' own binaries; see the how-to on how to run it."""

from __future__ import annotations

from tests.integration.docker.engine import base_image, engine
from tests.integration.kubernetes.cluster import cluster, cluster_registry
from tests.integration.targets.conftest import kubernetes_site, platform, pushed_images

__all__ = [
    "base_image",
    "cluster",
    "cluster_registry",
    "engine",
    "kubernetes_site",
    "platform",
    "pushed_images",
]
