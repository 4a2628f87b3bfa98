"""Names, labels and annotations of what is in a cluster."""

from __future__ import annotations

import re

PREFIX = "io.model-envelope/"
OWNER = PREFIX + "owner"
SERVICE = PREFIX + "service"
RELEASE = PREFIX + "release"
ENVELOPE = PREFIX + "envelope"
CANDIDATES_FENCE = PREFIX + "candidates-fence"
"""Annotation of a Service: the highest fence that ever started a release for it."""
FENCE = PREFIX + "fence"
"""Annotation of a Service: the highest fence that ever had its traffic. Of a release's
objects: its own."""
SPLIT = PREFIX + "split"
"""Annotation of a Service: who shares its traffic, and how."""
MINIMUM = PREFIX + "min-replicas"
"""Annotation of a Deployment whose number of pods is the HorizontalPodAutoscaler's."""
ENTRANCE = PREFIX + "entrance"
"""Annotation of a Deployment: how its service is reached while it has the traffic."""
SECRET_DIGEST = PREFIX + "secret-digest"

NOBODY = "none"
"""The release that a Service's selector names while nobody has its traffic."""

# With what ReplicaSets and pods add, names stay below the 63 characters of a label.
_LONGEST_SERVICE = 26


def release_name(service: str, release: str) -> str:
    """The name of a release's objects: unique by the release, readable by the service."""
    return f"{service[:_LONGEST_SERVICE].rstrip('-')}-{release}"


def label_value(text: str) -> str:
    """What a label can have of a text; empty if nothing."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].strip("._-")
