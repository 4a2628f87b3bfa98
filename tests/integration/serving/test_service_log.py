"""The log of inputs and outputs: exact, sampled, and never in the way."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from model_envelope.serving.plan import Limits, PredictionLog, ServicePlan
from tests.integration.serving.support import Service, until

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "kind": ["x", "y", "x"]})

Plans = Callable[..., ServicePlan]
Serve = Callable[..., Service]


def model() -> Callable[[pd.DataFrame], pd.Series]:
    def twice(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * 2

    return twice


def read(folder: Path) -> pa.Table:
    """All that was logged, in order."""
    assert not list(folder.rglob("*.partial"))
    return pa.concat_tables(pq.read_table(file) for file in sorted(folder.rglob("*.parquet")))


def counted(service: Service, what: str) -> float:
    return service.metric(f"model_envelope_log_{what}_total")


def settle(service: Service, rows: int) -> None:
    """Wait until so many rows have been written or let go."""
    until(
        lambda: counted(service, "rows") + counted(service, "dropped_rows") == rows,
        "the log has done its part",
    )


def test_rows_are_kept_as_they_were(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    log = PredictionLog(mode="rows", folder=str(tmp_path / "log"))
    service = serve(make_plan(model(), FRAME, log=log))
    for i in range(10):
        rows = [{"a": i + j / 7, "kind": "xy"[j]} for j in range(2)]
        assert service.predict(rows, **{"x-request-id": f"id-{i}"}).status == 200
    assert service.predict([{"a": None, "kind": 1}]).status == 422  # no prediction, no row
    service.terminate()
    assert service.wait() == 0  # writes what there is
    found = read(tmp_path / "log" / "predict")
    assert found.column_names == ["at", "request_id", "input.a", "input.kind", "output.a"]
    assert found.column("request_id").to_pylist() == [f"id-{i}" for i in range(10) for _ in "xy"]
    assert found.column("input.a").to_pylist() == [i + j / 7 for i in range(10) for j in range(2)]
    assert found.column("input.kind").to_pylist() == ["x", "y"] * 10
    assert found.column("output.a").to_pylist() == [
        (i + j / 7) * 2 for i in range(10) for j in range(2)
    ]


def test_statistics_keep_no_rows(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    log = PredictionLog(mode="statistics", folder=str(tmp_path / "log"))
    service = serve(make_plan(model(), FRAME, log=log))
    assert service.predict([{"a": float(i), "kind": "x"} for i in range(101)]).status == 200
    service.terminate()
    service.wait()
    found = {row["column"]: row for row in read(tmp_path / "log").to_pylist()}
    assert set(found) == {"input.a", "input.kind", "output.a"}
    assert found["input.a"]["count"] == 101
    assert found["input.a"]["missing"] == 0
    assert found["input.a"]["mean"] == 50
    assert found["output.a"]["quantiles"] == [0, 2, 10, 50, 100, 150, 190, 198, 200]
    assert found["input.kind"]["top"] == [{"value": "x", "count": 101}]


def test_a_share_of_the_requests(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    log = PredictionLog(mode="rows", share=0.5, folder=str(tmp_path / "log"))
    service = serve(make_plan(model(), FRAME, log=log))
    for i in range(200):
        service.predict([{"a": i, "kind": "x"}])
    service.terminate()
    service.wait()
    assert 50 < read(tmp_path / "log").num_rows < 150


def test_a_place_that_cannot_be_written(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    log = PredictionLog(mode="rows", folder=str(tmp_path / "file"))
    limits = Limits(queue_rows=30_000, body_bytes=64 << 20)
    service = serve(make_plan(model(), FRAME, log=log, limits=limits))
    rows = [{"a": i, "kind": "x"} for i in range(20_000)]
    answer = service.predict(rows)
    assert answer.json()[-1] == {"a": 2.0 * 19_999}
    until(
        lambda: service.metric("model_envelope_log_dropped_rows_total") == 20_000,
        "the loss is counted",
    )
    assert service.metric("model_envelope_log_rows_total") == 0
    assert service.predict(rows[:1]).status == 200
    warnings = [line for line in service.logged() if line["level"] == "warning"]
    assert "could not be logged" in warnings[0]["message"]


def test_more_than_it_can_keep_up_with(make_plan: Plans, serve: Serve, tmp_path: Path) -> None:
    log = PredictionLog(mode="rows", folder=str(tmp_path / "log"))
    limits = Limits(queue_rows=60_000, body_bytes=64 << 20)
    service = serve(make_plan(model(), FRAME, log=log, limits=limits))
    rows = [{"a": i, "kind": "x"} for i in range(51_000)]
    assert service.predict(rows).status == 200
    assert service.metric("model_envelope_log_dropped_rows_total") == 51_000
    assert service.predict(rows[:20_000]).status == 200
    until(lambda: service.metric("model_envelope_log_rows_total") == 20_000, "what fits is written")
    assert read(tmp_path / "log").num_rows == 20_000


def test_the_oldest_make_room_also_those_of_a_process_before(
    make_plan: Plans, serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(mode="rows", folder=str(folder), folder_bytes=1_000_000)
    limits = Limits(queue_rows=30_000, body_bytes=64 << 20)
    plan = make_plan(model(), FRAME, log=log, limits=limits)
    rows = [{"a": i / 7, "kind": "x"} for i in range(20_000)]
    kept: list[set[str]] = []
    for _ in range(2):
        service = serve(plan)
        for i in range(1, 7):
            assert service.predict(rows).status == 200
            settle(service, i * len(rows))
        service.terminate()
        assert service.wait() == 0
        kept.append({file.name for file in folder.rglob("*.parquet")})
        assert sum(file.stat().st_size for file in folder.rglob("*")) <= 1_100_000
    assert kept[0]
    assert kept[1]
    assert not kept[0] & kept[1]


def test_a_full_disk_costs_no_answer(
    make_plan: Plans, serve: Serve, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(2)
    log = PredictionLog(mode="rows", folder=str(disk / "log"))
    limits = Limits(queue_rows=30_000, body_bytes=64 << 20)
    service = serve(make_plan(model(), FRAME, log=log, limits=limits))
    rows = [{"a": i / 7, "kind": "x"} for i in range(20_000)]
    for i in range(1, 13):
        assert service.predict(rows).json()[1] == {"a": 2 / 7}
        settle(service, i * len(rows))
    lost = counted(service, "dropped_rows")
    assert lost
    assert read(disk / "log").num_rows == counted(service, "rows")  # whole files, no halves
    for file in (disk / "log").rglob("*.parquet"):
        file.unlink()
    assert service.predict(rows).status == 200
    settle(service, 13 * len(rows))
    assert counted(service, "dropped_rows") == lost  # there is room again
