"""Images of models, built by a real engine."""

# ruff: noqa: S310

from __future__ import annotations

import base64
import http.server
import io
import json
import shlex
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import model_envelope as me
from model_envelope import config
from model_envelope.cli.app import app
from model_envelope.client.envelope import Envelope
from model_envelope.deployment.images.building import ImageBuilder, push
from model_envelope.envelope import Distribution
from model_envelope.environment.capture import describe
from model_envelope.errors import InvalidInput, MissingDependency, TargetFailed

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1, 2, 3]})
HOSTILE = '"\nRUN touch /hostile\nLABEL x="$(id)`id`'


def save(factor: float = 2.0, **options: Any) -> Envelope:
    def model(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"y": frame["a"] * factor + frame["b"]})

    return me.save_model(model, api_input=FRAME, **{"tags": {"canonical_name": "x"}, **options})


@contextmanager
def running(engine: Any, image: str, **options: Any) -> Iterator[str]:
    """The base URL of a hardened container."""
    container = engine.containers.run(
        image,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        ports={"8080/tcp": ("127.0.0.1", None)},
        **options,
    )
    try:
        container.reload()
        port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
        yield f"http://127.0.0.1:{port}"
    finally:
        container.remove(force=True)


def answer(url: str, body: object = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def test_a_model_answers_from_a_hardened_container(
    builder: ImageBuilder, engine: Any, until: Any
) -> None:
    envelope = save(3.0)
    image = builder.build(envelope.record)
    attributes = engine.images.get(image.reference).attrs
    assert attributes["Config"]["User"] == "10001:10001"
    assert "health.py" in attributes["Config"]["Healthcheck"]["Test"][-1]
    labels = attributes["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == envelope.id
    with running(engine, image.reference) as url:
        until(lambda: answer(f"{url}/readyz")[0] == 200)
        status, body = answer(f"{url}/predict", [{"a": 0.1, "b": 5}])
        assert (status, json.loads(body)) == (200, [{"y": 0.1 * 3.0 + 5}])
        assert answer(f"{url}/-/state")[0] == 401


def test_what_a_release_is_told_completes_the_plan(
    builder: ImageBuilder, engine: Any, until: Any
) -> None:
    image = builder.build(save().record)
    told = {"service": "ltv", "release": "f" * 20, "control_token": "let-me-in"}
    environment = {"MODEL_ENVELOPE_RELEASE": json.dumps(told)}
    with running(engine, image.reference, environment=environment) as url:
        until(lambda: answer(f"{url}/readyz")[0] == 200)
        headers = {"Authorization": "Bearer let-me-in"}
        request = urllib.request.Request(f"{url}/-/state", headers=headers)
        with urllib.request.urlopen(request) as reply:
            assert json.load(reply)["release"] == "f" * 20


def test_a_retrained_model_is_one_layer_more(builder: ImageBuilder, engine: Any) -> None:
    first, second = builder.build(save(1.0).record), builder.build(save(2.0).record)
    assert first.id != second.id
    assert first.dependencies == second.dependencies
    shared = engine.images.get(first.dependencies).attrs["RootFS"]["Layers"]
    for image in (first, second):
        assert engine.images.get(image.id).attrs["RootFS"]["Layers"][:-1] == shared


def test_the_same_inputs_give_the_same_image(builder: ImageBuilder, engine: Any) -> None:
    record = save().record
    first = builder.build(record)
    assert builder.build(record) == first
    engine.images.get(first.id).tag("model-envelope-test-kept")
    try:
        engine.images.remove(first.reference)
        assert builder.build(record) == first
    finally:
        engine.images.remove("model-envelope-test-kept")


def test_what_users_wrote_is_in_no_dockerfile_and_no_label(
    builder: ImageBuilder, engine: Any, tmp_path: Path
) -> None:
    plain, hostile = (
        save(),
        save(description=HOSTILE, tags={"canonical_name": HOSTILE[:1] + "x$(id)"}),
    )
    provenance = replace(hostile.record.manifest.provenance, git_commit=HOSTILE)
    manifest = replace(hostile.record.manifest, provenance=provenance)
    record = hostile.record.evolve(manifest=manifest)
    builder.write_context(plain.record, tmp_path / "plain")
    command = builder.write_context(record, tmp_path / "hostile")
    texts = [(tmp_path / name / "Dockerfile").read_bytes() for name in ("plain", "hostile")]
    assert texts[0] == texts[1]
    assert "RUN touch" not in " ".join(command)
    plan = json.loads((tmp_path / "hostile/model/plan.json").read_text())
    assert plan["description"] == HOSTILE
    image = engine.images.get(builder.build(record).reference)
    assert "RUN touch" not in json.dumps(image.attrs) + json.dumps(image.history())


def test_a_context_is_built_elsewhere(
    builder: ImageBuilder, engine: Any, tmp_path: Path, until: Any
) -> None:
    record = save(5.0).record
    folder = tmp_path / "a folder"
    command = builder.write_context(record, folder)
    with pytest.raises(InvalidInput, match="not empty"):
        builder.write_context(record, folder)
    subprocess.run(shlex.join(command), shell=True, check=True, capture_output=True)  # noqa: S602
    (tag,) = (part.removeprefix("--tag=") for part in command if part.startswith("--tag="))
    try:
        with running(engine, tag) as url:
            until(lambda: answer(f"{url}/readyz")[0] == 200)
            assert json.loads(answer(f"{url}/predict", [{"a": 1, "b": 0}])[1]) == [{"y": 5.0}]
    finally:
        engine.images.remove(tag, force=True)


def nothing() -> bytes:
    """The layer of an image that has nothing in it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    return layer.getvalue()


class PrivateIndex:
    """A package index with one wheel, behind a password."""

    password = "index-s3cr3t-9f1"  # noqa: S105

    def __init__(self, folder: Path) -> None:
        expected = "Basic " + base64.b64encode(f"ci:{self.password}".encode()).decode()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                if self.headers.get("Authorization") == expected:
                    return super().do_GET()
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.send_header("Content-Length", "0")
                return self.end_headers()

        def handler(*arguments: Any) -> Handler:
            return Handler(*arguments, directory=str(folder))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://ci:{self.password}@127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        _publish(folder / "simple" / "ourprivate")


def _publish(page: Path) -> None:
    import hashlib
    import zipfile

    page.mkdir(parents=True)
    wheel = page / "ourprivate-1.0-py3-none-any.whl"
    info = "ourprivate-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ourprivate.py", "")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: ourprivate\nVersion: 1.0\n"
        )
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (page / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest}">x</a>')


@pytest.fixture
def private_index(tmp_path: Path) -> Iterator[PrivateIndex]:
    index = PrivateIndex(tmp_path / "index")
    yield index
    index.server.shutdown()
    index.server.server_close()


def everything_in(archive: tarfile.TarFile) -> Iterator[bytes]:
    for member in archive:
        file = archive.extractfile(member) if member.isfile() else None
        if file is None:
            continue
        if member.name.endswith("layer.tar"):
            with tarfile.open(fileobj=io.BytesIO(file.read())) as layer:
                yield from everything_in(layer)
        else:
            yield member.name.encode() + file.read()


def test_no_layer_has_a_credential_or_the_certificates(
    builder: ImageBuilder,
    engine: Any,
    private_index: PrivateIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificates = tmp_path / "our-ca.pem"
    system = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    certificates.write_text(f"# ca-marker-7c2\n{system}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    monkeypatch.setenv("UV_INDEX", private_index.url)
    envelope = save()
    needed = [d for d in envelope.environment.distributions if d.name in ("pyarrow", "cloudpickle")]
    environment = describe([*needed, Distribution(name="ourprivate", version="1.0")])
    manifest = replace(envelope.record.manifest, environment=environment)
    image = builder.build(envelope.record.evolve(manifest=manifest))
    saved = tmp_path / "image.tar"
    with saved.open("wb") as file:
        for chunk in engine.images.get(image.reference).save():
            file.write(chunk)
    engine.images.remove(image.reference, force=True)
    engine.images.remove(image.dependencies, force=True)
    secrets = (
        private_index.password.encode(),
        b"ca-marker-7c2",
        b"127.0.0.1:%d" % private_index.server.server_port,
    )
    seen = False
    with tarfile.open(saved) as archive:
        for content in everything_in(archive):
            seen |= b"ourprivate-1.0.dist-info/METADATA" in content
            assert not [secret for secret in secrets if secret in content], content[:200]
    assert seen


def test_a_base_image_without_what_python_needs_is_named(
    builder: ImageBuilder, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.api.import_image_from_data(nothing(), "model-envelope-test-empty", "1")
    monkeypatch.setenv(config.BASE_IMAGE, "model-envelope-test-empty:1")
    with pytest.raises(TargetFailed, match=r"(?s)cannot be built.*MODEL_ENVELOPE_BASE_IMAGE"):
        builder.build(save().record)
    monkeypatch.setenv(config.BASE_IMAGE, "127.0.0.1:9/none:1")
    with pytest.raises(TargetFailed, match=r"127\.0\.0\.1:9/none:1 is not here.*BASE_IMAGE"):
        builder.build(save().record)


@pytest.mark.parametrize(
    "base", ["x\nRUN id", "x AS y", "-f", "X", "x:$(id)", "a/../b", "x@sha256:1"]
)
def test_base_images_that_are_no_names_are_refused(
    builder: ImageBuilder, base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(config.BASE_IMAGE, base)
    record = save().record
    with pytest.raises(InvalidInput, match="MODEL_ENVELOPE_BASE_IMAGE"):
        builder.build(record)
    with pytest.raises(InvalidInput, match="MODEL_ENVELOPE_BASE_IMAGE"):
        builder.write_context(record, tmp_path / "context")


def test_an_engine_that_does_not_answer(
    builder: ImageBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = save().record
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(TargetFailed, match=r"Docker does not answer.*DOCKER_HOST"):
        builder.build(record)
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(MissingDependency, match=r"model-envelope\[docker\]"):
        builder.build(record)


def test_an_image_is_pushed_to_the_registry_in_its_name(
    builder: ImageBuilder, engine: Any, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = save().record
    with pytest.raises(InvalidInput, match="has no registry in its name"):
        push(builder.build(record))
    monkeypatch.setenv(config.IMAGE_REPOSITORY, f"{registry}/team/models")
    image = builder.build(record)
    repository, _, tag = image.reference.rpartition(":")
    assert repository == f"{registry}/team/models"
    # Hundreds of megabytes would take their time: something small goes under that name.
    engine.images.remove(image.reference)
    engine.api.import_image_from_data(nothing(), repository, tag)
    assert push(image).startswith(f"{repository}@sha256:")
    with urllib.request.urlopen(f"http://{registry}/v2/team/models/tags/list") as reply:
        assert json.load(reply)["tags"] == [tag]
    engine.images.remove(image.reference)
    with pytest.raises(TargetFailed, match="cannot be pushed"):
        push(image)


def test_the_command_builds_writes_and_refuses(
    builder: ImageBuilder, engine: Any, tmp_path: Path
) -> None:
    envelope = save(7.0)
    run = CliRunner()
    built = run.invoke(app, ["build", envelope.id])
    assert built.exit_code == 0, built.output
    assert engine.images.get(built.stdout.strip()).id == builder.build(envelope.record).id
    folder = tmp_path / "context"
    written = run.invoke(app, ["build", envelope.id, "--output", str(folder)])
    assert written.exit_code == 0, written.output
    assert written.stdout.startswith("docker build --build-arg=BASE=model-envelope-test-base")
    assert (folder / "Dockerfile").exists()
    both = run.invoke(app, ["build", envelope.id, "--push", "--output", str(tmp_path / "other")])
    assert both.exit_code != 0
    assert not (tmp_path / "other").exists()
