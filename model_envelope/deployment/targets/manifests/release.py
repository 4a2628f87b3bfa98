"""The objects of one release: its Secret, its Deployment, and what keeps enough pods of it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model_envelope.deployment.images import template
from model_envelope.deployment.targets import process_options
from model_envelope.deployment.targets.kubernetes_options import Replicas
from model_envelope.deployment.targets.manifests import naming
from model_envelope.deployment.targets.protocol import Release

PORT = 8080
VARIABLE = "MODEL_ENVELOPE_RELEASE"
"""What a container reads: see `images.inside.start`."""

PRE_STOP = 5
"""Seconds that a pod still takes requests after the cluster was told that it goes: what
forwards to it learns of that meanwhile."""

_LOG = "/predictions"
_TEMPORARY = "/tmp"  # noqa: S108 - in a container
_MARGIN = 5
_PYTHON = f"{template.ROOT}/environment/bin/python"

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A release, its complete options, and what else its objects are made of.

    Attributes:
        release: what is to run.
        owner: the store's identity.
        image: by which nodes pull it.
        secret: what its containers are told, by variable; see `secret_variables`.
    """

    release: Release
    owner: str
    image: str
    secret: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of all its objects."""
        return naming.release_name(self.release.service, self.release.id)

    @property
    def replicas(self) -> Replicas:
        """How many pods there are to be."""
        return Replicas.read(self.release.options["replicas"])

    def manifests(self) -> tuple[Manifest, ...]:
        """All of them, in the order in which they are applied."""
        scaler = () if self.replicas.is_fixed else (self.autoscaler(),)
        return self.secret_manifest(), self.deployment(), self.budget(), *scaler

    def secret_manifest(self) -> Manifest:
        """What containers are told: never in the Deployment, which many may read."""
        encoded = {
            key: base64.b64encode(value.encode()).decode() for key, value in self.secret.items()
        }
        return {**self._object("v1", "Secret"), "type": "Opaque", "data": encoded}

    def deployment(self) -> Manifest:
        """Its pods. How many there are is left to whoever scales it."""
        options = self.release.options
        annotations = {naming.ENTRANCE: json.dumps(entrance(options), sort_keys=True)}
        if not self.replicas.is_fixed:
            annotations[naming.MINIMUM] = str(self.replicas.min)
        return {
            **self._object("apps/v1", "Deployment", annotations),
            "spec": {
                "selector": {"matchLabels": self._selector()},
                # A release never changes, so there is nothing to go back to.
                "revisionHistoryLimit": 0,
                "progressDeadlineSeconds": options["startup_seconds"] + 60,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
                },
                "template": {
                    "metadata": {
                        "labels": self._labels(),
                        "annotations": {
                            naming.SECRET_DIGEST: _digest(self.secret),
                            "prometheus.io/scrape": "true",
                            "prometheus.io/port": str(PORT),
                            "prometheus.io/path": "/metrics",
                        },
                    },
                    "spec": self._pod(),
                },
            },
        }

    def autoscaler(self) -> Manifest:
        """Follows the processors that its pods use."""
        wanted = self.replicas
        whose = {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name}
        usage = {"type": "Utilization", "averageUtilization": wanted.cpu}
        return {
            **self._object("autoscaling/v2", "HorizontalPodAutoscaler"),
            "spec": {
                "scaleTargetRef": whose,
                "minReplicas": wanted.min,
                "maxReplicas": wanted.max,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": usage}}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": wanted.cooldown_seconds}},
            },
        }

    def budget(self) -> Manifest:
        """One pod at a time may be taken away; a single one, too, or no node could be drained."""
        return {
            **self._object("policy/v1", "PodDisruptionBudget"),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": self._selector()}},
        }

    def _pod(self) -> Manifest:
        options = self.release.options
        chosen = {
            "serviceAccountName": options["service_account"],
            "imagePullSecrets": [{"name": name} for name in options["image_pull_secrets"]],
            "nodeSelector": dict(options["node_selector"]),
            "tolerations": [dict(toleration) for toleration in options["tolerations"]],
        }
        return {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": grace(self.release.limits.drain_seconds),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": template.USER,
                "runAsGroup": template.USER,
                "fsGroup": template.USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self._container()],
            "volumes": self._volumes(),
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": key,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": self._selector()},
                }
                for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
            ],
            **{key: value for key, value in chosen.items() if value},
        }

    def _container(self) -> Manifest:
        options = self.release.options
        memory = f"{options['memory_mb']}Mi"
        limits = {"memory": memory}
        if options["max_cpus"] is not None:
            limits["cpu"] = _processors(options["max_cpus"])
        mounts = [{"name": "tmp", "mountPath": _TEMPORARY}]
        if self._claim():
            mounts.append({"name": "predictions", "mountPath": _LOG, "subPath": self._folder()})
        return {
            "name": "model",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
            "env": [
                {"name": key, "valueFrom": {"secretKeyRef": {"name": self.name, "key": key}}}
                for key in sorted(self.secret)
            ],
            "resources": {
                "requests": {"cpu": _processors(options["cpus"]), "memory": memory},
                "limits": limits,
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "startupProbe": _probe("/livez", 2, math.ceil(options["startup_seconds"] / 2)),
            "readinessProbe": _probe("/readyz", 2, 2),
            "livenessProbe": _probe("/livez", 10, 6),
            "lifecycle": {"preStop": {"exec": {"command": list(_wait(PRE_STOP))}}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": mounts,
        }

    def _volumes(self) -> list[Manifest]:
        volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {"medium": "Memory"}}]
        if claim := self._claim():
            source = {"persistentVolumeClaim": {"claimName": claim}}
            volumes.append({"name": "predictions", **source})
        return volumes

    def _claim(self) -> str | None:
        return None if self.release.log_mode == "off" else self.release.options["predictions_claim"]

    def _folder(self) -> str:
        return f"predictions/{self.release.service}/{self.release.id}"

    def _selector(self) -> dict[str, str]:
        return {naming.OWNER: self.owner, naming.RELEASE: self.release.id}

    def _labels(self) -> dict[str, str]:
        record = self.release.record
        called = naming.label_value(record.tags.get("canonical_name", ""))
        return {
            "app.kubernetes.io/name": called or self.release.service,
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/version": record.id,
            "app.kubernetes.io/component": "model",
            "app.kubernetes.io/part-of": self.release.service,
            "app.kubernetes.io/managed-by": "model-envelope",
            naming.SERVICE: self.release.service,
            naming.ENVELOPE: record.id,
            **self._selector(),
        }

    def _object(
        self, version: str, kind: str, annotations: Mapping[str, str] | None = None
    ) -> Manifest:
        return {
            "apiVersion": version,
            "kind": kind,
            "metadata": {
                "name": self.name,
                "labels": self._labels(),
                "annotations": {naming.FENCE: str(self.release.fence), **(annotations or {})},
            },
        }


def secret_variables(release: Release, token: str) -> dict[str, str]:
    """What the containers of a release are told.

    Args:
        release: with complete options.
        token: what requests to its control routes must show.
    """
    options = release.options
    is_kept = release.log_mode != "off" and options["predictions_claim"]
    told = {
        "service": release.service,
        "release": release.id,
        "control_token": token,
        "limits": asdict(release.limits),
        "log": {
            "mode": release.log_mode,
            "share": release.log_share,
            "folder": _LOG if is_kept else f"{_TEMPORARY}/predictions",
        },
    }
    threads = process_options.thread_variables(options["threads"])
    return {**threads, **options["env"], VARIABLE: json.dumps(told, sort_keys=True)}


def grace(drain: float) -> int:
    """Seconds that a pod has to end, of which it may answer what it has for some.

    Without any, it has to end at once.
    """
    return PRE_STOP + math.ceil(drain) + _MARGIN if drain > 0 else 1


def entrance(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options by which a service is reached from outside."""
    names = ("host", "tls_secret", "ingress_class", "ingress_annotations")
    return {name: options[name] for name in names if options[name]}


def _digest(secret: Mapping[str, str]) -> str:
    """So that pods are replaced where their Secret was lost and made anew."""
    return hashlib.sha256(json.dumps(dict(secret), sort_keys=True).encode()).hexdigest()[:32]


def _processors(number: float) -> str:
    return f"{round(number * 1000)}m"


def _probe(path: str, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _wait(seconds: int) -> tuple[str, ...]:
    return (_PYTHON, "-I", "-c", f"import time; time.sleep({seconds})")
