"""The containers of releases: hardened, labelled, and found again by their labels."""

from __future__ import annotations

import json
import random
import socket
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from model_envelope import config
from model_envelope.deployment import probing
from model_envelope.deployment.engine import failures
from model_envelope.errors import TargetFailed
from model_envelope.optional import require

PORT = 8080
RELEASE = "MODEL_ENVELOPE_RELEASE"
LOG = "/predictions"
"""Where a replica finds its `log_folder`."""

_LABEL = "io.model-envelope."
_NETWORK = "model-envelope"
# Below the ports that systems give to outgoing connections, so that they are free again
# when the engine restarts its containers.
_PORTS = range(20000, 30000)
_TRIES = 20
_TAKEN = ("port is already allocated", "address already in use")
_MISSED_PROBE = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What all replicas of a release have in common.

    `log_folder` is one of the engine's machine where they write what they predicted.
    """

    service: str
    release: str
    fence: int
    image: str
    environment: Mapping[str, str]
    nano_cpus: int | None = None
    memory_bytes: int | None = None
    log_folder: str | None = None

    @property
    def token(self) -> str:
        """What requests to control routes must show."""
        return str(json.loads(self.environment[RELEASE])["control_token"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """One container of a release.

    `address` is `host:port` for this process and the proxy; `name` is its host name for
    other containers.
    """

    name: str
    number: int
    launch: Launch
    address: str
    state: str
    restarts: int
    exit_code: int

    @property
    def is_running(self) -> bool:
        """Whether it has an address that something may listen on."""
        return self.state == "running" and bool(self.address)

    def is_ready(self) -> bool:
        """Whether it answers, now."""
        try:
            return self.is_running and self._ask("GET", "/readyz", None).status == 200
        except probing.Unanswered:
            return False

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to a control route; gives the JSON that comes back.

        Raises:
            TargetFailed: it is not answered, or refused.
        """
        content = None if body is None else json.dumps(body).encode()
        answer = self._ask(method, path, content, timeout=15.0)
        if answer.status // 100 != 2:
            raise TargetFailed(f"{method} {path} of {self.name}: {answer.status} {answer.text}")
        return answer.json() if answer.body else None

    def _ask(
        self, method: str, path: str, body: bytes | None, timeout: float = _MISSED_PROBE
    ) -> probing.Answer:
        headers = {
            "Authorization": f"Bearer {self.launch.token}",
            "Content-Type": "application/json",
        }
        address = f"http://{self.address}"
        return probing.ask(address, method, path, body, headers=headers, timeout=timeout)


class Containers:
    """All containers of one store's releases on one engine."""

    def __init__(self, client: Any, owner: str) -> None:
        self._client = client
        self._owner = owner
        self._given = config.docker_network()

    def all(self) -> tuple[Replica, ...]:
        """Every replica that there is, in any state, by service, release and number."""
        chosen = {"label": f"{_LABEL}owner={self._owner}"}
        with failures("The containers of services cannot be listed"):
            found = self._client.containers.list(all=True, filters=chosen, ignore_removed=True)
        replicas = [self._replica(container.attrs) for container in found]
        return tuple(sorted(replicas, key=lambda r: (r.launch.service, r.launch.release, r.number)))

    def start(self, launch: Launch, number: int) -> None:
        """Have a running replica of this number.

        Raises:
            TargetFailed: the engine refused.
        """
        docker = require("docker", "docker")
        name = f"me-{launch.release}-{number}"
        with failures(f"Container {name} cannot be started"):
            for tries_left in reversed(range(_TRIES)):
                try:
                    container = self._client.containers.get(name)
                except docker.errors.NotFound:
                    container = self._create(launch, name, number)
                try:
                    container.start()
                except docker.errors.APIError as error:
                    container.remove(force=True, v=True)
                    if not tries_left or not any(text in str(error) for text in _TAKEN):
                        raise
                else:
                    return

    def stop(self, replica: Replica, *, seconds: float) -> None:
        """Let a replica finish what it has within some seconds, and remove it."""
        docker = require("docker", "docker")
        with failures(f"Container {replica.name} cannot be removed"):
            try:
                container = self._client.containers.get(replica.name)
                # One that is not ready has nothing to finish, and may not heed signals.
                if seconds > 0 and replica.is_ready():
                    container.stop(timeout=int(seconds) + 1)
                container.remove(force=True, v=True)
            except docker.errors.NotFound:
                pass
            except docker.errors.APIError as error:
                if "is already in progress" not in str(error):
                    raise

    def logs(self, replica: Replica, lines: int) -> str:
        """The last lines that a replica wrote."""
        with failures(f"The log of {replica.name} cannot be read"):
            content = self._client.containers.get(replica.name).logs(tail=lines)
        return str(content.decode(errors="replace"))

    def _create(self, launch: Launch, name: str, number: int) -> Any:
        labels = {
            "owner": self._owner,
            "service": launch.service,
            "release": launch.release,
            "fence": str(launch.fence),
            "number": str(number),
        }
        limits = {"nano_cpus": launch.nano_cpus, "mem_limit": launch.memory_bytes}
        gateway = None if self._given else self._gateway()
        return self._client.containers.create(
            launch.image,
            name=name,
            labels={_LABEL + key: value for key, value in labels.items()},
            environment=dict(launch.environment),
            network=self._given or _NETWORK,
            ports={f"{PORT}/tcp": (gateway, _free_port(gateway))} if gateway else {},
            restart_policy={"Name": "unless-stopped"},
            read_only=True,
            tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - in a container
            volumes={launch.log_folder: {"bind": LOG}} if launch.log_folder else {},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=1024,
            log_config={"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            **{key: value for key, value in limits.items() if value is not None},
        )

    def _gateway(self) -> str:
        """An address of this machine by which containers' ports are reached.

        The network's gateway, where the kernel forwards; on the loopback, a program of the
        engine's accepts connections also when nobody listens behind it.
        """
        docker = require("docker", "docker")
        try:
            network = self._client.networks.get(_NETWORK)
        except docker.errors.NotFound:
            network = self._client.networks.create(_NETWORK, check_duplicate=True)
            network.reload()
        if sys.platform != "linux":
            return "127.0.0.1"
        return str(network.attrs["IPAM"]["Config"][0]["Gateway"])

    def _replica(self, attributes: Mapping[str, Any]) -> Replica:
        settings, state, host = (attributes[key] for key in ("Config", "State", "HostConfig"))
        labels = {
            key.removeprefix(_LABEL): value
            for key, value in settings["Labels"].items()
            if key.startswith(_LABEL)
        }
        name = attributes["Name"].removeprefix("/")
        return Replica(
            name=name,
            number=int(labels["number"]),
            launch=Launch(
                service=labels["service"],
                release=labels["release"],
                fence=int(labels["fence"]),
                image=attributes["Image"],
                environment=_variables(settings["Env"]),
                nano_cpus=host["NanoCpus"] or None,
                memory_bytes=host["Memory"] or None,
                log_folder=host["Binds"][0].split(f":{LOG}")[0] if host["Binds"] else None,
            ),
            address=_published(host) or f"{name}:{PORT}",
            state=state["Status"],
            restarts=attributes["RestartCount"],
            exit_code=state["ExitCode"],
        )


def _variables(lines: list[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _published(host: Mapping[str, Any]) -> str | None:
    bindings = (host["PortBindings"] or {}).get(f"{PORT}/tcp")
    return f"{bindings[0]['HostIp']}:{bindings[0]['HostPort']}" if bindings else None


def _free_port(address: str) -> int:
    for port in random.sample(_PORTS, _TRIES):
        with closing(socket.socket()) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise TargetFailed(f"No port from {_PORTS.start} to {_PORTS.stop} is free at {address}.")
