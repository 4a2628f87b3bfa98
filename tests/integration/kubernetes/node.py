"""A node for tests: runs the pods that are scheduled to it as containers of a Docker engine.

What it does of a kubelet's work is what a Deployment's life needs: environment from Secrets,
limits, a readiness probe, restarts, preStop hooks and grace, logs and port-forwards.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import docker
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.conftest import free_port
from tests.integration.kubernetes.control_plane import ControlPlane
from tests.integration.kubernetes.frames import PROTOCOL, carry

NAME = "node-1"
_NETWORK = "model-envelope-test-pods"
_PAUSE = 0.1
_MERGE = "application/merge-patch+json"


class Node:
    """One that is ready while its block runs."""

    def __init__(self, plane: ControlPlane, engine: Any) -> None:
        self.plane = plane
        self.engine = engine
        self.port = free_port()
        self.pods: dict[str, Pod] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._live, self._look)]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key = plane.certificate.with_suffix(".key")
        context.load_cert_chain(plane.certificate, key)
        self._server = serve(
            self._forward,
            "127.0.0.1",
            self.port,
            ssl=context,
            subprotocols=[PROTOCOL],  # type: ignore[list-item]
            process_request=self._logs,
            max_size=None,
        )
        self._threads.append(threading.Thread(target=self._server.serve_forever))

    def __enter__(self) -> Node:
        if not self.engine.networks.list(names=[_NETWORK]):
            self.engine.networks.create(_NETWORK)
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}}
        self.plane.ask("POST", "/api/v1/nodes", body)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        for pod in self.pods.values():
            pod.kill()

    def _live(self) -> None:
        """Say that it is there."""
        room = {"cpu": "64", "memory": "256Gi", "pods": "100"}
        while True:
            now = _now()
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
            stamps = {"lastHeartbeatTime": now, "lastTransitionTime": now}
            status = {
                "capacity": room,
                "allocatable": room,
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
                "conditions": [{**ready, **stamps, "message": "in a test"}],
            }
            self.plane.ask("PATCH", f"/api/v1/nodes/{NAME}/status", {"status": status}, _MERGE)
            if self._over.wait(5):
                return

    def _look(self) -> None:
        """Follow the pods that are meant to run here."""
        path = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NAME}"
        while not self._over.wait(_PAUSE):
            for found in self.plane.ask("GET", path)["items"]:
                uid = found["metadata"]["uid"]
                if uid not in self.pods:
                    self.pods[uid] = Pod(self, found)
                    self.pods[uid].start()
                self.pods[uid].manifest = found

    def _pod(self, name: str) -> Pod:
        return next(pod for pod in self.pods.values() if pod.name == name)

    def _logs(self, _connection: ServerConnection, request: Request) -> Response | None:
        place = urlsplit(request.path)
        if not place.path.startswith("/containerLogs/"):
            return None
        query = parse_qs(place.query)
        pod = self._pod(place.path.split("/")[3])
        text = pod.previous if "true" in query.get("previous", []) else pod.log()
        lines = text.splitlines(keepends=True)[-int(query.get("tailLines", ["1000"])[0]) :]
        body = "".join(lines).encode()
        headers = Headers({"Content-Type": "text/plain", "Content-Length": str(len(body))})
        return Response(HTTPStatus.OK, "OK", headers, body)

    def _forward(self, connection: ServerConnection) -> None:
        place = urlsplit(connection.request.path if connection.request else "")
        (port,) = parse_qs(place.query)["port"]
        carry(connection, self._pod(place.path.split("/")[3]).ip, int(port))


class Pod(threading.Thread):
    """What a node does about one pod, until it is gone."""

    backoff: ClassVar[float] = 0.5

    def __init__(self, node: Node, manifest: dict[str, Any]) -> None:
        super().__init__()
        self.node = node
        self.manifest = manifest
        self.name = manifest["metadata"]["name"]
        self.ip = ""
        self.previous = ""
        self._path = f"/api/v1/namespaces/{manifest['metadata']['namespace']}/pods/{self.name}"
        (self._spec,) = manifest["spec"]["containers"]
        self._container: Any = None
        self._restarts = 0
        self._last: dict[str, Any] = {}
        self._said: dict[str, Any] = {}
        self._killed = False

    @property
    def going(self) -> bool:
        return self._killed or "deletionTimestamp" in self.manifest["metadata"]

    def kill(self) -> None:
        """End now; the control plane ends, too."""
        self._killed = True
        self.join()

    def log(self) -> str:
        if self._container is None:
            return ""
        with suppress(docker.errors.APIError):
            return str(self._container.logs().decode(errors="replace"))
        return ""

    def run(self) -> None:
        self._say({"waiting": {"reason": "ContainerCreating"}})
        while not self.going:
            try:
                self._container = self._create()
            except _CannotStart as error:
                self._say({"waiting": {"reason": error.args[0], "message": error.args[1]}})
            else:
                self._watch()
            self._wait(self.backoff)
        self._end()

    def _create(self) -> Any:
        engine = self.node.engine
        try:
            container = engine.containers.create(
                self._spec["image"],
                environment=self._environment(),
                network=_NETWORK,
                user="10001:10001",
                read_only=True,
                tmpfs={"/tmp": "mode=1777"},
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit=_bytes(self._spec["resources"]["limits"]["memory"]),
            )
        except docker.errors.ImageNotFound as error:
            raise _CannotStart("ErrImagePull", str(error.explanation)) from error
        container.start()
        container.reload()
        self.ip = container.attrs["NetworkSettings"]["Networks"][_NETWORK]["IPAddress"]
        return container

    def _environment(self) -> dict[str, str]:
        found = {}
        namespace = self._path.rpartition("/pods/")[0]
        for variable in self._spec["env"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            secret = self.node.plane.ask("GET", f"{namespace}/secrets/{reference['name']}")
            if secret is None:
                text = f'secret "{reference["name"]}" not found'
                raise _CannotStart("CreateContainerConfigError", text)
            found[variable["name"]] = base64.b64decode(secret["data"][reference["key"]]).decode()
        return found

    def _watch(self) -> None:
        """Probe a container until it has ended, or is to."""
        while not self.going:
            self._container.reload()
            if self._container.status != "running":
                return self._ended()
            running = {"running": {"startedAt": _now()}}
            self._say(running, ready=_answers(self.ip, self._spec["readinessProbe"]))
            self._wait(_PAUSE)
        return None

    def _ended(self) -> None:
        state = self._container.attrs["State"]
        reason = "OOMKilled" if state["OOMKilled"] else "Error"
        ended = {"exitCode": state["ExitCode"], "reason": reason, "finishedAt": _now()}
        self.previous = self.log()
        self._container.remove(force=True)
        self._container = None
        self._restarts += 1
        self._last = {"terminated": ended}
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
        self._say({"waiting": waiting})

    def _end(self) -> None:
        """The preStop hook, then the signal, then no more patience."""
        began = time.monotonic()
        if self._container is not None:
            hook = self._spec["lifecycle"]["preStop"]["exec"]["command"]
            waiting = threading.Thread(target=self._run_hook, args=(hook,))
            waiting.start()
            while waiting.is_alive() and not self._is_late(began):
                time.sleep(_PAUSE)
            with suppress(docker.errors.APIError):
                self._container.kill("SIGTERM")
                while self._container.status == "running" and not self._is_late(began):
                    time.sleep(_PAUSE)
                    self._container.reload()
            self._container.remove(force=True, v=True)
            waiting.join()
        if not self._killed:
            options = {"gracePeriodSeconds": 0}
            self.node.plane.ask("DELETE", self._path, options)

    def _run_hook(self, command: list[str]) -> None:
        with suppress(docker.errors.APIError):
            self._container.exec_run(command)

    def _is_late(self, began: float) -> bool:
        given = self.manifest["metadata"].get("deletionGracePeriodSeconds", 0)
        return self._killed or time.monotonic() - began > given

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.going:
            time.sleep(_PAUSE)

    def _say(self, state: dict[str, Any], *, ready: bool = False) -> None:
        """Report, if there is news."""
        if (_kind(state), ready) == (_kind(self._said.get("state", {})), self._said.get("ready")):
            return
        self._said = {
            "name": self._spec["name"],
            "image": self._spec["image"],
            "imageID": "",
            "ready": ready,
            "restartCount": self._restarts,
            "state": state,
            "lastState": self._last,
        }
        is_true = {"PodScheduled": True, "Initialized": True}
        is_true |= dict.fromkeys(("ContainersReady", "Ready"), ready)
        conditions = [
            {"type": kind, "status": str(true), "lastTransitionTime": _now()}
            for kind, true in is_true.items()
        ]
        status = {
            "phase": "Running" if self.ip else "Pending",
            "podIP": self.ip or None,
            "podIPs": [{"ip": self.ip}] if self.ip else None,
            "conditions": conditions,
            "containerStatuses": [self._said],
        }
        self.node.plane.ask("PATCH", f"{self._path}/status", {"status": status}, _MERGE)


class _CannotStart(Exception):
    """A reason, and a message."""


def _kind(state: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, about.get("reason", "")) for name, about in state.items()]


def _bytes(quantity: str) -> int:
    unit = {"Mi": 20, "Gi": 30}[quantity[-2:]]
    return int(quantity[:-2]) << unit


def _answers(ip: str, probe: dict[str, Any]) -> bool:
    get = probe["httpGet"]
    connection = http.client.HTTPConnection(ip, get["port"], timeout=probe["timeoutSeconds"])
    try:
        connection.request("GET", get["path"])
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _now() -> str:
    return re.sub(r"\.\d+", "", datetime.now(UTC).isoformat()).replace("+00:00", "Z")
