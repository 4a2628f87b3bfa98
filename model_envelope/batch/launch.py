"""Starting Spark: what the application is, and one way to submit it."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from model_envelope.errors import BatchPredictionFailed, InvalidInput, MissingDependency

_log = logging.getLogger(__name__)

_JAVA_NEEDED = 17
_LAST_LINES = 15
# Addresses and credentials of ours and of Airflow's are none of the model's business, and
# another interpreter's settings would break it.
_KEPT_BACK = re.compile(r"(MODEL_ENVELOPE_|AIRFLOW_|_AIRFLOW_|PYTHON|PYSPARK_|VIRTUAL_ENV$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class SparkApplication:
    """A program for spark-submit, in its terms.

    `conf` holds everything that has a configuration key, `spark.master`, `spark.files` and
    `spark.archives` among it; `py_files` go onto the Python path of driver and executors.
    """

    name: str
    program: Path
    arguments: tuple[str, ...]
    py_files: tuple[Path, ...]
    conf: Mapping[str, str] = field(repr=False)

    @property
    def master(self) -> str:
        """Where it runs."""
        return self.conf["spark.master"]


Submit = Callable[[SparkApplication], None]
"""Runs an application to its end; raises where it failed."""


def spark_submit(application: SparkApplication) -> None:
    """Run `spark-submit` on this machine and log what it says.

    The configuration goes through a private file: no secret of it shows in a list of
    processes.

    Raises:
        MissingDependency: there is no Spark, or no Java for it.
        BatchPredictionFailed: it ended with an error.
    """
    home = find_spark()
    command = [
        str(home / "bin" / "spark-submit"),
        *("--properties-file", str(write_properties(application)), "--load-spark-defaults"),
        *("--name", application.name),
        *("--py-files", ",".join(map(str, application.py_files))),
        str(application.program),
        *application.arguments,
    ]
    _log.debug("Running %s", " ".join(command))
    _run(command, environment(home))


def write_properties(application: SparkApplication) -> Path:
    """Put the configuration beside the job, where nobody else can read it.

    Raises:
        InvalidInput: it cannot be written in that form.
    """
    path = Path(application.arguments[0]).with_name("spark.properties")
    path.touch(mode=0o600)
    path.write_text(_properties(application.conf))
    return path


def environment(home: Path) -> dict[str, str]:
    """The environment variables for a spark-submit of the Spark in `home`."""
    kept = {key: value for key, value in os.environ.items() if not _KEPT_BACK.match(key)}
    # Without the last, what lies in the working directory would hide the model's packages.
    return kept | {"SPARK_HOME": str(home), "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1"}


def find_spark() -> Path:
    """The folder of Spark: `SPARK_HOME`, or that of an installed `pyspark`.

    Raises:
        MissingDependency: there is none, or no Java that it can run on.
    """
    given = os.environ.get("SPARK_HOME")
    spec = None if given else find_spec("pyspark")
    home = Path(given) if given else Path(spec.origin).parent if spec and spec.origin else None
    if home is None or not (home / "bin" / "spark-submit").exists() or not (home / "jars").is_dir():
        where = f"SPARK_HOME={given} has no bin/spark-submit and jars" if given else "it is missing"
        raise MissingDependency(
            f"Spark is needed for batch prediction, but {where}. Install it by "
            "`pip install 'model-envelope[spark]'`, or set SPARK_HOME to a Spark distribution."
        )
    check_java()
    return home


def check_java() -> Path:
    """The Java that Spark will use.

    Raises:
        MissingDependency: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = Path(home, "bin", "java") if home else Path(shutil.which("java") or "")
    install = (
        f"Spark needs Java {_JAVA_NEEDED} or newer: install it (Debian: `apt install "
        f"openjdk-{_JAVA_NEEDED}-jre-headless`), or set JAVA_HOME to it."
    )
    if not found.is_file() or not os.access(found, os.X_OK):
        where = f"JAVA_HOME={home} has no bin/java" if home else "there is no java on PATH"
        raise MissingDependency(f"No Java: {where}. {install}")
    version = _java_version(found)
    if version is not None and version < _JAVA_NEEDED:
        raise MissingDependency(f"{found} is Java {version}. {install}")
    return found


def _java_version(java: Path) -> int | None:
    """The version that the installation's own file names: starting Java takes long."""
    release = java.resolve().parents[1] / "release"
    if not release.is_file():
        return None
    found = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', release.read_text())
    return int(found[1]) if found else None


def _properties(conf: Mapping[str, str]) -> str:
    lines = []
    for key, value in sorted(conf.items()):
        if (
            "\n" in f"{key}{value}"
            or "\r" in f"{key}{value}"
            or not re.fullmatch(r"[\w.\-/]+", key)
        ):
            raise InvalidInput(f"spark_conf {key!r} has a line break or no key of Spark's form.")
        lines.append(f"{key}={value}".replace("\\", "\\\\"))
    return "\n".join(lines) + "\n"


def _run(command: list[str], variables: Mapping[str, str]) -> None:
    last: list[str] = []
    with subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                text = line.rstrip()
                _log.info("%s", text)
                last = [*last[1 - _LAST_LINES :], text]
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        said = "\n".join(line for line in last if line)
        raise BatchPredictionFailed(
            f"spark-submit ended with {process.returncode}. It said last:\n{said}"
        )


def _end(process: subprocess.Popen[str]) -> None:
    """Ask Spark and its Python driver to stop, so that they clean up; then make them."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
