"""Building images of envelopes by the Docker engine, and pushing them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope import config
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.deployment.engine import connected, failures
from model_envelope.deployment.images import template
from model_envelope.deployment.images.context import (
    Files,
    dependencies_files,
    digest_of,
    model_files,
    programs,
    write_tar,
)
from model_envelope.envelope import EnvelopeRecord, Environment
from model_envelope.environment.build import build as build_environment
from model_envelope.environment.caching import locked
from model_envelope.environment.capture import minor_version
from model_envelope.environment.pack import LAYOUT, pack
from model_envelope.errors import InvalidInput, TargetFailed
from model_envelope.isolation import lock_service_environment
from model_envelope.optional import require
from model_envelope.store.store import Store

_log = logging.getLogger(__name__)

ENVELOPE = "io.model-envelope.envelope"
OWNER = "io.model-envelope.owner"
"""Labels of a model's image: what it is of, and the identity of the store."""

DEPENDENCIES = "io.model-envelope.dependencies"
"""A label of images of dependencies, which those that stand on them inherit: their name."""

_REPOSITORY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?/)?"
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
)
_REFERENCE = re.compile(
    rf"(?:{_REPOSITORY.pattern})(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A built image: its id in the engine, its name, and the image that it stands on."""

    id: str
    reference: str
    dependencies: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageBuilder:
    """Builds images from what the store and the artifacts hold."""

    store: Store
    artifacts: ArtifactStore
    cache: Path

    def build(self, record: EnvelopeRecord) -> Image:
        """The image of an envelope; what was built before is used.

        Nothing is fetched while an image is built: packages come from the locked environment,
        which uv installs on this machine, so no index and no credential is known to the build.

        Raises:
            InvalidInput: the envelope cannot be served, or a setting is malformed.
            EnvironmentNotBuildable: its environment cannot be.
            ArtifactError: a file is missing, or is not what was saved.
            MissingDependency: the docker package is not installed.
            TargetFailed: the engine refused or failed, or the base image does not fit.
        """
        repository, base = _settings()
        with connected() as client, in_turn(self.cache, fcntl.LOCK_SH):
            files = model_files(record, self.artifacts, self.cache)
            dependencies = self._dependencies(client, base, record.manifest.environment)
            content = hashlib.sha256(f"{dependencies} {digest_of(files)}".encode()).hexdigest()
            reference = f"{repository}:{record.id}-{content[:16]}"
            found = _find(client, reference)
            if found is None:
                _log.info("Building image %s", reference)
                context = {"Dockerfile": template.MODEL.encode(), **files}
                arguments = {"DEPENDENCIES": dependencies}
                labels = _labels(record) | {OWNER: self.store.identity}
                _build(client, context, reference, self.cache, arguments=arguments, labels=labels)
                found = client.images.get(reference)
            return Image(id=found.id, reference=reference, dependencies=dependencies)

    def write_context(self, record: EnvelopeRecord, folder: Path) -> tuple[str, ...]:
        """Write all that an image is built of to a folder, for an engine elsewhere.

        Returns:
            The command that builds it.

        Raises:
            InvalidInput: the folder is not empty, or see `build`.
            EnvironmentNotBuildable: the environment cannot be installed on this machine.
            ArtifactError: a file is missing, or is not what was saved.
        """
        repository, base = _settings()
        if folder.exists() and any(folder.iterdir()):
            raise InvalidInput(f"{folder} is not empty: name a folder of its own for the image.")
        files = model_files(record, self.artifacts, self.cache)
        packed = self._packed(*lock_service_environment(self.store, record.manifest.environment))
        whole = {"Dockerfile": template.WHOLE.encode(), **dependencies_files(packed), **files}
        for name, content in whole.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                shutil.copyfile(content, path)
        labels = [f"--label={key}={value}" for key, value in _labels(record).items()]
        tag = f"--tag={repository}:{record.id}-{digest_of(files)[:16]}"
        return ("docker", "build", f"--build-arg=BASE={base}", *labels, tag, str(folder))

    def _dependencies(self, client: Any, base: str, environment: Environment) -> str:
        """The name of the image with an environment, built unless there is one."""
        extended, text = lock_service_environment(self.store, environment)
        base_id = _base(client, base, extended)
        content = [template.VERSION, LAYOUT, template.DEPENDENCIES, base_id, extended.platform]
        content += [minor_version(extended.python), text]
        content += [program.decode() for program in programs().values()]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        name = f"model-envelope-dependencies:{key[:32]}"
        if _find(client, name) is None:
            with locked(self.cache / "images" / f"{key}.lock"):
                if _find(client, name) is None:
                    _log.info("Building image %s", name)
                    files = dependencies_files(self._packed(extended, text))
                    context = {"Dockerfile": template.DEPENDENCIES.encode(), **files}
                    arguments = {"BASE": base}
                    labels = {DEPENDENCIES: name}
                    _build(client, context, name, self.cache, arguments=arguments, labels=labels)
        return name

    def _packed(self, environment: Environment, text: str) -> Path:
        return pack(build_environment(environment, text, cache=self.cache))


@contextmanager
def in_turn(cache: Path, kind: int) -> Iterator[None]:
    """Build (`LOCK_SH`), or remove what nothing stands on (`LOCK_EX`), but not at once."""
    folder = cache / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, kind)
        yield


def push(image: Image) -> str:
    """Push an image to the registry in its name; gives the name with the digest it has there.

    Credentials are those of `docker login`.

    Raises:
        InvalidInput: its name has no registry.
        TargetFailed: the registry, or the engine, refused.
    """
    repository, _, tag = image.reference.rpartition(":")
    host = _registry(repository)
    digest = ""
    with connected() as client, failures(f"Image {image.reference} cannot be pushed"):
        for line in client.api.push(repository, tag, stream=True, decode=True):
            if "error" in line:
                raise TargetFailed(
                    f"Image {image.reference} cannot be pushed: {line['error']}. See that the "
                    f"registry answers, and `docker login {host}`."
                )
            digest = line.get("aux", {}).get("Digest", digest)
    return f"{repository}@{digest}"


def check_registry() -> None:
    """See that images are called by a registry that they can be pushed to.

    Raises:
        InvalidInput: they are not.
    """
    _registry(_settings()[0])


def is_reference(text: str) -> bool:
    """Whether a text has the form of an image's name."""
    return _REFERENCE.fullmatch(text) is not None


def _registry(repository: str) -> str:
    host, slash, _ = repository.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        raise InvalidInput(
            f"Images are called {repository}, which has no registry in its name: set "
            f"{config.IMAGE_REPOSITORY}, for example to registry.example/models."
        )
    return host


def _settings() -> tuple[str, str]:
    """The repository of images, and the base image."""
    repository = _checked(_REPOSITORY, config.image_repository(), config.IMAGE_REPOSITORY)
    return repository, _checked(_REFERENCE, config.base_image(), config.BASE_IMAGE)


def _checked(pattern: re.Pattern[str], value: str, setting: str) -> str:
    if not pattern.fullmatch(value):
        raise InvalidInput(f"{setting} is {value!r:.200}, which is no name of an image.")
    return value


def _find(client: Any, reference: str) -> Any | None:
    docker = require("docker", "docker")
    with failures(f"Image {reference} cannot be looked up"):
        try:
            return client.images.get(reference)
        except docker.errors.ImageNotFound:
            return None


def _base(client: Any, reference: str, environment: Environment) -> str:
    """The id of the base image, pulled if need be."""
    image = _find(client, reference)
    if image is None:
        _log.info("Pulling %s", reference)
        with failures(
            f"The base image {reference} is not here and cannot be pulled; {config.BASE_IMAGE} "
            "names another"
        ):
            image = client.images.pull(reference)
    processor = environment.platform.removeprefix("linux_")
    if image.attrs["Architecture"] != _PROCESSORS.get(processor, processor):
        raise TargetFailed(
            f"The base image {reference} is for {image.attrs['Architecture']}, and the model needs "
            f"{environment.platform}: set {config.BASE_IMAGE} to one that is."
        )
    return str(image.id)


def _labels(record: EnvelopeRecord) -> dict[str, str]:
    commit = record.manifest.provenance.git_commit
    labels = {
        "org.opencontainers.image.title": "model-envelope service",
        "org.opencontainers.image.version": record.id,
        "org.opencontainers.image.created": record.created_at.isoformat(timespec="seconds"),
        ENVELOPE: record.id,
        "io.model-envelope.environment": record.manifest.environment.digest,
        "io.model-envelope.manifest": record.manifest_sha256,
    }
    if _COMMIT.fullmatch(commit):
        labels["org.opencontainers.image.revision"] = commit
    return labels


def _build(
    client: Any,
    files: Files,
    tag: str,
    cache: Path,
    *,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
) -> None:
    with (
        tempfile.TemporaryFile(dir=cache) as context,
        failures(f"Image {tag} cannot be built"),
    ):
        write_tar(context, files)
        context.seek(0)
        _follow(
            client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                labels=dict(labels),
                network_mode="none",
                rm=True,
                forcerm=True,
                decode=True,
            ),
            tag,
        )


def _follow(lines: Iterable[Mapping[str, Any]], tag: str) -> None:
    said: list[str] = []
    for line in lines:
        said += str(line.get("stream", "")).splitlines()
        if "error" in line:
            last = "\n".join([text for text in said if text.strip()][-5:])
            raise TargetFailed(
                f"Image {tag} cannot be built: {line['error']}\n{last}\nWhere Python does not "
                f"start, or a library is missing, the base image does not fit: set "
                f"{config.BASE_IMAGE} to one of this machine's system or a newer one, with what "
                "Python links to, as python:*-slim has."
            )
