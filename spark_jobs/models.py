"""The model in a Python worker: loaded once, however many tasks the worker runs."""

from __future__ import annotations

import gc
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from model_envelope.runtime.calling import Predictor
from model_envelope.runtime.loading import LoadPlan, open_model
from model_envelope.spark_jobs.job import shipped_name

_loaded: dict[tuple[str, str], Predictor] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipment:
    """Where a worker finds the model; travels with every task, so it is small."""

    plan: dict[str, Any]
    directory: str | None

    def load(self) -> tuple[Predictor, bool]:
        """The model, and whether it had to be loaded first.

        The file's digest is checked before anything of it is unpickled. Its arrays stay in
        the memory-mapped file: the workers of a machine share them.

        Raises:
            ArtifactError: a file is missing, or is not what was saved.
            PredictionFailed: it cannot be loaded in this environment.
        """
        plan = LoadPlan.from_json(self.plan)
        key = (plan.files[plan.function.file], plan.function.name)
        if key in _loaded:
            return _loaded[key], False
        pa.set_cpu_count(int(os.environ.get("OMP_NUM_THREADS") or 1))
        scratch = _scratch()
        directory = Path(self.directory) if self.directory else _gather(plan, scratch)
        _loaded[key] = open_model(directory, plan, scratch=scratch / "modules")
        # PySpark collects garbage after every task. The modules and the model, which stay,
        # need not be gone through each time.
        gc.freeze()
        return _loaded[key], True


def _scratch() -> Path:
    """A folder that Spark removes with the application."""
    from pyspark import SparkFiles

    folder = Path(SparkFiles.getRootDirectory()) / "model-envelope"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _gather(plan: LoadPlan, scratch: Path) -> Path:
    """A folder with the shipped files under their own names, as links."""
    from pyspark import SparkFiles

    folder = Path(tempfile.mkdtemp(dir=scratch))
    for name, digest in plan.files.items():
        (folder / name).symlink_to(Path(SparkFiles.get(shipped_name(name, digest))).absolute())
    return folder
