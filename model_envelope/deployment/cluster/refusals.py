"""What somebody can do about what a cluster refuses, by what it says."""

from __future__ import annotations

import re

_POLICY = "a policy of this cluster refuses it: do what it says, or ask whoever keeps the policy"
_STEPS = (
    (
        r"exceeded quota|failed quota",
        "have less in this namespace, lower replicas, cpus or memory_mb, or ask for a larger quota",
    ),
    (
        r"(maximum|minimum) \S+ usage per|max limit to request ratio",
        "the namespace's LimitRange says what cpus, max_cpus and memory_mb may be",
    ),
    (r"failed calling webhook", "see that this cluster's webhook of that name runs"),
    (r"admission webhook|AdmissionPolicy|violates PodSecurity|denied the request", _POLICY),
    (r"Insufficient (cpu|memory)", "lower cpus or memory_mb, or add nodes"),
    (
        r"didn't match|had taint|untolerated taint",
        "see that node_selector and tolerations fit some node",
    ),
)


def next_step(said: str) -> str:
    """What to do about it; empty if nothing is known of such a refusal."""
    return next((step for pattern, step in _STEPS if re.search(pattern, said)), "")
