"""Parts of the service that need no process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from model_envelope.serving import threads
from model_envelope.serving.recording import QUANTILES, describe
from model_envelope.serving.splitting import same_answer
from model_envelope.shipping import service_archive

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", None),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("1000000000 100000", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_cores_are_those_of_the_control_group(
    tmp_path: Path, quota: str, cores: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    found = threads.usable_cores(tmp_path)
    assert found == (cores or threads.usable_cores(tmp_path / "none"))


def test_threads_are_bounded_unless_somebody_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    for name in ("BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(name, "1")
    count = threads.limit()
    assert 1 <= count <= 4
    assert os.environ["OMP_NUM_THREADS"] == "17"
    assert os.environ["OPENBLAS_NUM_THREADS"] == str(count)


def as_arrow(values: list[float | None]) -> bytes:
    table = pa.table({"a": values})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("live", "candidate", "same"),
    [
        ([{"a": 1.0}], [{"a": 1.0}], True),
        ([{"a": 1.0}], [{"a": 1}], True),
        ([{"a": 1.0}], [{"a": 1.0 + 1e-12}], True),
        ([{"a": 1.0}], [{"a": 1.0 + 1e-6}], False),
        ([{"a": 0.0}], [{"a": 1e-15}], True),
        ([{"a": 1.0}], [{"b": 1.0}], False),
        ([{"a": 1.0}], [{"a": None}], False),
        ([{"a": None}], [{"a": None}], True),
        ([{"a": True}], [{"a": 1}], False),
        ([{"a": "x"}], [{"a": "y"}], False),
        ([{"a": [1.0, 2.0]}], [{"a": [1.0, 2.0 + 1e-13]}], True),
        ([{"a": 1.0}], [{"a": 1.0}, {"a": 1.0}], False),
        (
            {"model_version": "1", "id": "x", "outputs": [1.0]},
            {"model_version": "2", "id": "y", "outputs": [1.0]},
            True,
        ),
    ],
)
def test_answers_are_compared_as_numbers(live: object, candidate: object, same: bool) -> None:
    bodies = [json.dumps(body, indent=i).encode() for i, body in enumerate((live, candidate))]
    assert same_answer(JSON, *bodies) is same


def test_answers_in_arrow_and_in_nothing() -> None:
    assert same_answer(ARROW, as_arrow([1.0, None]), as_arrow([1.0 + 1e-13, None]))
    assert not same_answer(ARROW, as_arrow([1.0]), as_arrow([2.0]))
    assert not same_answer(ARROW, as_arrow([1.0]), b"nonsense")
    assert not same_answer(JSON, b"[]", b"nonsense")
    assert not same_answer(JSON, b"[]", b"\xff")
    assert not same_answer("text/csv", b"a\n1\n", b"a\n2\n")


def test_statistics_of_what_was_logged() -> None:
    at = pa.array([0, 1_000_000, 2_000_000, 3_000_000], pa.timestamp("us", "UTC"))
    table = pa.table(
        {
            "at": at,
            "request_id": ["a", "b", "c", "d"],
            "input.n": pa.array([1.0, None, float("nan"), 3.0]),
            "input.kind": pa.array(["x", "x", None, "y"]).dictionary_encode(),
            "input.nothing": pa.array([None] * 4, pa.float64()),
            "output.flag": [True, True, False, True],
            "output.list": [[1], [2], [3], None],
        }
    )
    found = {row["column"]: row for row in describe(table).to_pylist()}
    number = found["input.n"]
    assert (number["count"], number["missing"], number["mean"]) == (4, 2, 2.0)
    assert number["quantiles"][0] == 1.0
    assert number["quantiles"][-1] == 3.0
    assert len(number["quantiles"]) == len(QUANTILES)
    assert found["input.kind"]["top"] == [{"value": "x", "count": 2}, {"value": "y", "count": 1}]
    assert found["input.nothing"]["missing"] == 4
    assert found["input.nothing"]["mean"] is None
    assert found["output.flag"]["top"][0] == {"value": "True", "count": 3}
    assert found["output.list"]["missing"] == 1
    assert (found["input.n"]["to"] - found["input.n"]["from"]).total_seconds() == 3
    assert msgspec.json.encode(describe(table).drop_columns(["from", "to"]).to_pylist())


def test_the_service_runs_from_its_archive(tmp_path: Path) -> None:
    archive = service_archive(tmp_path)
    assert service_archive(tmp_path) == archive
    code = (
        "import sys; import model_envelope.serving.application, model_envelope.serving.server;"
        "import model_envelope as me; print(me.__file__);"
        "print([name for name in ('sqlalchemy', 'docker', 'typer', 'boto3')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(archive), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    file, foreign = done.stdout.splitlines()
    assert file.startswith(str(archive))
    assert foreign == "[]"
