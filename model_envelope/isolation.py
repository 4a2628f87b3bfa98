"""Running an envelope in its own environment, in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from model_envelope import errors
from model_envelope.artifacts.protocol import ArtifactStore
from model_envelope.envelope import EnvelopeRecord, Environment
from model_envelope.environment.build import BuiltEnvironment, build
from model_envelope.environment.lock import lock
from model_envelope.environment.service import (
    locked_environment,
    service_environment,
    service_key,
)
from model_envelope.errors import EnvelopeError, InvalidInput, PredictionFailed
from model_envelope.runtime.loading import MODULES, LoadPlan
from model_envelope.scratch import scratch_folder
from model_envelope.serving.plan import Limits, PredictionLog, ServicePlan
from model_envelope.shipping import runtime_archive
from model_envelope.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

# Set by whoever starts us, and meant for that interpreter, not for the model's.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")


def load_plan(record: EnvelopeRecord, function: str) -> LoadPlan:
    """What must be loaded to call a query function.

    Raises:
        InvalidInput: the envelope has no such function.
    """
    try:
        spec = record.functions[function]
    except KeyError:
        raise InvalidInput(
            f"Envelope {record.id} has no query function {function!r}; it has "
            f"{', '.join(record.functions)}."
        ) from None
    needed = [spec.file, *([MODULES] if record.manifest.modules else [])]
    return LoadPlan(
        envelope_id=record.id,
        function=spec,
        files={name: record.files[name].sha256 for name in needed},
        modules=record.manifest.modules,
    )


def service_plan(
    record: EnvelopeRecord,
    *,
    service: str,
    release: str,
    directory: Path,
    scratch: Path,
    control_token: str,
    limits: Limits | None = None,
    log: PredictionLog | None = None,
) -> ServicePlan:
    """What a service process is told to run an envelope.

    Args:
        record: the envelope.
        service: the service's name.
        release: the deployment's id.
        directory: where the process finds the artifact's files.
        scratch: where it may unpack custom modules.
        control_token: what requests to its control routes must show.
        limits: where it says no.
        log: what it keeps of inputs and outputs.

    Raises:
        InvalidInput: no function of the envelope can be given tables.
    """
    if not any(spec.input for spec in record.functions.values()):
        raise InvalidInput(
            f"Envelope {record.id} was saved without api_input, so a service would not know what "
            "to take. Save it again with a sample of its input."
        )
    golden = {
        name: ref.sha256
        for name, ref in record.files.items()
        if name.startswith("golden-") and name.endswith(".arrow")
    }
    return ServicePlan(
        service=service,
        release=release,
        envelope_id=record.id,
        description=record.description,
        tags=dict(record.tags),
        created_at=record.created_at.isoformat(),
        functions=tuple(load_plan(record, name) for name in record.functions),
        golden=golden,
        directory=str(directory),
        scratch=str(scratch),
        control_token=control_token,
        limits=limits or Limits(),
        log=log or PredictionLog(),
    )


def fetch(artifacts: ArtifactStore, plan: LoadPlan) -> Path:
    """The local, verified folder with the files of a plan.

    Raises:
        ArtifactMissing: a file is not there.
        ArtifactCorrupted: a digest differs.
    """
    paths = [
        artifacts.fetch(f"{plan.envelope_id}/{name}", sha256=digest)
        for name, digest in plan.files.items()
    ]
    return paths[0].parent


def fetch_all(artifacts: ArtifactStore, record: EnvelopeRecord) -> Path:
    """The local, verified folder with every file of an envelope.

    Raises:
        ArtifactMissing: a file is not there.
        ArtifactCorrupted: a digest differs.
    """
    paths = [
        artifacts.fetch(f"{record.id}/{name}", sha256=ref.sha256)
        for name, ref in record.files.items()
    ]
    return paths[0].parent


def ensure_environment(store: Store, environment: Environment, cache: Path) -> BuiltEnvironment:
    """Lock an environment on first need, once for all its models, and build it here.

    Raises:
        EnvironmentNotBuildable: it cannot be resolved or installed.
        MissingDependency: uv is not installed.
    """
    text = store.get_lock(environment.digest)
    if text is None:
        _log.info("Resolving environment %s", environment.digest[:12])
        text = store.put_lock(environment.digest, lock(environment))
    return build(environment, text, cache=cache)


def ensure_service_environment(
    store: Store, environment: Environment, cache: Path
) -> BuiltEnvironment:
    """Like `ensure_environment`, with what the service runtime needs beside the model.

    Raises:
        EnvironmentNotBuildable: the model's versions and the service's exclude each other,
            or it cannot be resolved or installed.
        MissingDependency: uv is not installed.
    """
    extended, text = lock_service_environment(store, environment)
    return build(extended, text, cache=cache)


def lock_service_environment(store: Store, environment: Environment) -> tuple[Environment, str]:
    """The environment of a service, resolved on first need and kept, and its lock.

    Raises:
        EnvironmentNotBuildable: see `ensure_service_environment`.
        MissingDependency: uv is not installed.
    """
    key = service_key(environment)
    text = store.get_lock(key)
    if text is None:
        _log.info("Resolving what serves environment %s", environment.digest[:12])
        text = store.put_lock(key, lock(service_environment(environment)))
    return locked_environment(environment, text), text


def run_isolated(
    python: Path, plan: LoadPlan, directory: Path, table: pa.Table, cache: Path
) -> pa.Table:
    """Predict a table by the interpreter `python`.

    Raises:
        PredictionFailed: the model's code raised, or its process died.
        EnvelopeError: whatever else the process refused.
    """
    import pyarrow as pa

    with scratch_folder() as folder:
        job = {
            "plan": plan.to_json(),
            "directory": str(directory),
            "scratch": str(cache / "modules"),
        }
        (folder / "job.json").write_text(json.dumps(job))
        with pa.ipc.new_file(str(folder / "input.arrow"), table.schema) as writer:
            writer.write_table(table)
        done = subprocess.run(
            [str(python), "-m", "model_envelope.runtime", str(folder)],
            env=_clean_environment(runtime_archive(cache)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise _failure(folder, done)
        with pa.OSFile(str(folder / "output.arrow")) as file, pa.ipc.open_file(file) as reader:
            return reader.read_all()


def _clean_environment(archive: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    # Without the last, what lies in the working directory would hide the model's packages.
    return kept | {"PYTHONPATH": str(archive), "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1"}


def _failure(folder: Path, done: subprocess.CompletedProcess[str]) -> EnvelopeError:
    report = folder / "error.json"
    if report.exists():
        body = json.loads(report.read_text())
        kind = getattr(errors, body["type"], PredictionFailed)
        error: EnvelopeError = kind(body["message"])
        error.add_note(body["traceback"])
        return error
    last = "\n".join(done.stderr.strip().splitlines()[-5:])
    return PredictionFailed(
        f"The model's process ended with {done.returncode} and no answer. It said:\n{last}"
    )
