"""What each command prints and changes, its exit codes, and what none ever does."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import model_envelope as me
from model_envelope.cli.app import app

FRAME = pd.DataFrame({"age": [20.0, 30.0, None, 50.0], "region": ["US", "UK", "US", None]})

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def store(home: Path, sqlite_template: Path) -> None:
    """The embedded store of this test, with the current schema."""
    home.mkdir()
    shutil.copy(sqlite_template, home / "store.sqlite")


@pytest.fixture
def run() -> Run:
    """Runs a command; checks its exit code, 0 unless told, and that nothing was raised."""

    def run(*arguments: str, code: int = 0, **options: Any) -> Any:
        result = CliRunner().invoke(app, arguments, **options)
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.exit_code == code, result.output
        return result

    return run


def save(region: str = "US", **options: Any) -> me.Envelope:
    """Save a small model."""

    def predict(frame):  # type: ignore[no-untyped-def]
        """Twice the age.

        And nothing else.
        """
        return frame["age"].fillna(0) * 2

    tags = {"canonical_name": "client_ltv", "region": region, **options.pop("tags", {})}
    return me.save_model(predict, tags=tags, api_input=FRAME, **options)


class Canary:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


# Finding


def test_query_lists_matches_newest_first(run: Run) -> None:
    first, second = save("US"), save("UK")
    assert run("query", "-o", "id").stdout.split() == [second.id, first.id]
    assert run("query", "region == 'US'", "-o", "id").stdout.split() == [first.id]
    listed = run("query").stdout
    assert listed.index(second.id) < listed.index(first.id)
    assert "canonical_name=client_ltv" in listed
    assert "unproved" in listed


def test_query_without_a_match_exits_with_3_and_says_why(run: Run) -> None:
    save("UK")
    result = run("query", "region == 'US'", "-o", "json", code=3)
    assert json.loads(result.stdout) == []
    assert "region == 'US'" in result.stderr
    assert "region='UK'" in result.stderr
    assert run("query", "region == 'US'", "-o", "csv", code=3).stdout == (
        "id,tags,saved,reproducible\n"
    )


def test_query_orders_by_a_metric_and_shows_it(run: Run) -> None:
    ids = [save(metrics={"loss": loss}).id for loss in (0.2, 0.1, 0.3)]
    best_first = run("query", "--order-by", "metric:loss", "--ascending", "-o", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(best_first)))
    assert [row["metric:loss"] for row in rows] == ["0.1", "0.2", "0.3"]
    assert [row["id"] for row in rows] == [ids[1], ids[0], ids[2]]


def test_columns_are_tags_metrics_and_facts(run: Run) -> None:
    envelope = save(tags={"id": "mine"}, metrics={"auc": 0.5}, description="Of clients")
    envelope.log_metrics(auc=0.75, step=1)
    columns = "id,tag:id,region,metric:auc,metric:none,description,archived"
    found = run("query", "--columns", columns, "-o", "csv").stdout
    assert found == (f"{columns}\n{envelope.id},mine,US,0.75,,Of clients,false\n")
    assert "0.75" in run("query", "--columns", "id,metric:auc").stdout
    assert "no metric name" in run("query", "--columns", "metric:", code=1).stderr


def test_archived_envelopes_are_listed_on_demand(run: Run) -> None:
    envelope = save()
    assert run("archive", envelope.id[:8]).stdout == f"{envelope.id} is archived.\n"
    run("query", code=3)
    assert run("query", "--all", "-o", "id").stdout.split() == [envelope.id]
    run("unarchive", envelope.id)
    assert run("query", "-o", "id").stdout.split() == [envelope.id]


def test_a_limit_says_how_many_were_left_out(run: Run) -> None:
    for _ in range(3):
        save()
    result = run("query", "--limit", "2", "-o", "id")
    assert len(result.stdout.split()) == 2
    assert "2 of 3" in result.stderr
    everything = run("query", "--limit", "0", "-o", "id")
    assert len(everything.stdout.split()) == 3
    assert everything.stderr == ""


def test_json_of_a_query_has_what_the_manual_says(run: Run) -> None:
    envelope = save(metrics={"auc": 0.5}, description="Of clients")
    (found,) = json.loads(run("query", "--columns", "metric:auc", "-o", "json").stdout)
    assert found == {
        "id": envelope.id,
        "saved_at": envelope.created_at.isoformat(),
        "saved_by": envelope.provenance.user,
        "description": "Of clients",
        "tags": {"canonical_name": "client_ltv", "region": "US"},
        "archived": False,
        "reproducible": "unproved",
        "metrics": {"auc": 0.5},
    }


@pytest.mark.parametrize("cut", [20, 8, 4])
def test_show_tells_everything(run: Run, cut: int) -> None:
    envelope = save(metrics={"auc": 0.5}, hyperparameters={"depth": 3}, description="Of clients")
    shown = run("show", envelope.id[:cut], "--packages", "--history").stdout
    packages = len(envelope.environment.distributions)
    for part in (
        envelope.id,
        "Of clients",
        "Twice the age.",
        "double",
        f"{packages} packages",
        "20 to 50, mean 33.3333",
        "US 67%, UK 33%",
        "auc",
        "depth",
        "cloudpickle",
        "saved",
    ):
        assert part in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_show_in_json(run: Run) -> None:
    curve = me.metrics.RocCurve.from_scores([0, 1, 1], [0.1, 0.4, 0.8])
    envelope = save(metrics={"loss": float("inf"), "roc": curve}, hyperparameters={"depth": 3})
    found = json.loads(run("show", "region == 'US'", "--history", "-o", "json").stdout)
    assert found["id"] == envelope.id
    assert found["functions"]["predict"]["input"][0] == {
        "name": "age",
        "type": "double",
        "nullable": True,
    }
    assert found["metrics"]["loss"] == "Infinity"
    assert found["metrics"]["roc"]["type"] == "roc_curve"
    assert found["metrics"]["roc.auc"] == 1.0
    assert found["hyperparameters"] == {"depth": 3}
    assert found["statistics"]["age"]["mean"] == pytest.approx(100 / 3)
    assert {d["name"] for d in found["environment"]["distributions"]} >= {"pandas", "pyarrow"}
    assert [change["kind"] for change in found["history"]] == ["saved"]
    assert found["size"] == sum(file["size"] for file in found["files"].values())


def test_show_of_what_is_not_there_exits_with_3(run: Run) -> None:
    save()
    assert "no envelope" in run("show", "0" * 20, code=3).stderr
    assert "region == 'FR'" in run("show", "region == 'FR'", code=3).stderr


def test_a_tag_that_looks_like_an_id_is_a_query(run: Run) -> None:
    envelope = save(tags={"beef": "yes"})
    assert envelope.id in run("show", "beef").stdout
    run("show", "cafe", code=3)


def test_the_history_of_a_deleted_envelope_can_be_read(run: Run) -> None:
    envelope = save()
    assert "7 days" in run("delete", envelope.id).stdout
    assert "--history" in run("show", envelope.id, code=3).stderr
    assert "deleted" in run("show", envelope.id, "--history").stdout
    history = json.loads(run("show", envelope.id, "--history", "-o", "json").stdout)["history"]
    assert [change["kind"] for change in history] == ["saved", "deleted"]
    run("undelete", envelope.id)
    assert envelope.id in run("show", envelope.id).stdout
    run("show", "1" * 20, "--history", code=3)


def test_diff_names_every_difference(run: Run) -> None:
    def predict(frame):  # type: ignore[no-untyped-def]
        return frame["age"] * 2

    first = save(metrics={"auc": 0.9, "old": 1}, hyperparameters={"rate": 0.1})
    second = me.save_model(
        predict,
        tags={"canonical_name": "client_ltv", "region": "UK", "stage": "test"},
        api_input=pd.DataFrame({"age": [1, 2], "plan": ["a", "b"]}),
        requirements=["scikit-learn"],
        metrics={"auc": 0.95, "new": 2},
        hyperparameters={"rate": 0.2},
    )
    found = json.loads(run("diff", first.id, second.id, "-o", "json").stdout)
    assert found["tags"] == {
        "added": {"stage": "test"},
        "removed": {},
        "changed": {"region": {"first": "US", "second": "UK"}},
        "same": 1,
    }
    assert found["functions"]["added"] == {"predict.input.plan": "string"}
    assert found["functions"]["removed"] == {"predict.input.region": "string?"}
    changed = found["functions"]["changed"]
    assert changed["predict.input.age"] == {"first": "double?", "second": "int64"}
    assert "scikit-learn" in found["packages"]["added"]
    assert found["hyperparameters"]["changed"]["rate"] == {"first": 0.1, "second": 0.2}
    assert found["metrics"]["added"] == {"new": 2.0}
    assert found["metrics"]["removed"] == {"old": 1.0}
    assert found["metrics"]["changed"]["auc"]["difference"] == pytest.approx(0.05)
    written = run("diff", first.id, second.id).stdout
    for part in ("region", "plan", "scikit-learn", "rate", "+0.05"):
        assert part in written


def test_diff_with_itself_is_empty(run: Run) -> None:
    envelope = save(metrics={"loss": float("nan")})
    found = json.loads(run("diff", envelope.id, envelope.id, "-o", "json").stdout)
    sections = [section for section in found.values() if isinstance(section, dict)]
    assert [s["added"] or s["removed"] or s["changed"] for s in sections] == [{}] * len(sections)
    assert "the same: 2 tags" in run("diff", envelope.id, envelope.id).stdout


def test_why_exits_with_3_where_a_term_does_not_hold(run: Run) -> None:
    envelope = save(metrics={"auc": 0.9})
    run("why", "region == 'US' and metric.auc > 0.8", envelope.id)
    found = run("why", "region == 'UK' and metric.auc > 0.8", envelope.id, "-o", "json", code=3)
    body = json.loads(found.stdout)
    assert body["matches"] is False
    assert body["terms"][0] == {"term": "region == 'UK'", "holds": False, "found": "region='US'"}
    assert "does not match" in run("why", "archived", envelope.id, code=3).stdout


# Saying


def test_tags_are_set_and_removed_with_history(run: Run) -> None:
    envelope = save()
    shown = run("tag", envelope.id, "stage=prod", "note=a=b", "--remove", "region").stdout
    assert envelope.id in shown
    assert envelope.refresh().tags == {
        "canonical_name": "client_ltv",
        "stage": "prod",
        "note": "a=b",
    }
    assert [change.kind for change in envelope.history()] == ["saved", "tags", "tags"]


def test_a_query_tags_its_latest_match_or_all(run: Run) -> None:
    old, new = save(), save()
    run("tag", "region == 'US'", "latest=yes")
    assert ("latest" in old.refresh().tags, "latest" in new.refresh().tags) == (False, True)
    run("tag", "region == 'US'", "--all", "seen=yes")
    assert ("seen" in old.refresh().tags, "seen" in new.refresh().tags) == (True, True)
    run("tag", "region == 'FR'", "--all", "seen=yes", code=3)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("good=tag", "nothing"), 2),
        (("good=tag", "key="), 1),
        (("good=tag", "key= padded"), 1),
        (("good=tag", "--remove", ""), 1),
    ],
)
def test_what_is_no_tag_changes_nothing(run: Run, arguments: tuple[str, ...], code: int) -> None:
    envelope = save()
    run("tag", envelope.id, *arguments, code=code)
    assert [change.kind for change in envelope.history()] == ["saved"]


def test_numbers_are_logged(run: Run) -> None:
    envelope = save()
    run("log", envelope.id, "auc=0.5", "loss=1e-3", "--step", "4")
    assert envelope.metrics() == {"auc": 0.5, "loss": 0.001}
    assert "could not convert" in run("log", envelope.id, "auc=high", code=2).stderr


def test_metrics_are_tidy_rows(run: Run) -> None:
    envelope = save()
    long_ago = datetime.now(UTC) - timedelta(days=30)
    envelope.log_metrics(auc=0.5, step=0, at=long_ago)
    envelope.log_metrics(auc=float("nan"), step=1)
    envelope.log_metrics({"weights": [1.0, 2.0]})
    rows = json.loads(run("metrics", "region == 'US'", "auc", "-o", "json").stdout)
    assert [(row["name"], row["step"], row["value"]) for row in rows] == [
        ("auc", 0, 0.5),
        ("auc", 1, "NaN"),
    ]
    assert rows[0]["at"] == long_ago.isoformat()
    recent = run("metrics", "True", "--since", "7d", "--tag", "region", "-o", "csv").stdout
    found = list(csv.DictReader(io.StringIO(recent)))
    assert {row["name"] for row in found} == {
        "auc", "weights", "weights.max", "weights.mean", "weights.min"
    }  # fmt: skip
    assert {row["region"] for row in found} == {"US"}
    assert next(row for row in found if row["name"] == "weights")["value"] == ""
    after = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    nothing = run("metrics", "True", "--since", after, "-o", "json", code=3)
    assert json.loads(nothing.stdout) == []
    assert "there is auc, weights" in nothing.stderr
    assert "nan" in run("metrics", "True", "--limit", "2").stdout
    envelope.set_tags(name="ltv")
    (row, *_) = json.loads(run("metrics", "True", "auc", "--tag", "name", "-o", "json").stdout)
    assert (row["name"], row["tag.name"]) == ("auc", "ltv")
    run("metrics", "region == 'FR'", code=3)
    run("metrics", "True", "--since", "yesterday", code=2)


# Running


def test_predictions_of_a_file(run: Run, tmp_path: Path) -> None:
    envelope = save()
    expected = [40.0, 60.0, 0.0, 100.0]
    FRAME.to_csv(tmp_path / "in.csv", index=False)
    FRAME.to_parquet(tmp_path / "in.parquet")
    FRAME.to_json(tmp_path / "in.json", orient="records")
    FRAME.to_json(tmp_path / "in.jsonl", orient="records", lines=True)
    for kind in ("csv", "parquet", "json", "jsonl"):
        out = tmp_path / "out.parquet"
        run("predict", envelope.id, "-i", str(tmp_path / f"in.{kind}"), "-f", str(out))
        assert pd.read_parquet(out)["age"].tolist() == expected
        content = (tmp_path / f"in.{kind}").read_bytes()
        result = run("predict", envelope.id, "-i", "-", "--keep", "region", input=content)
        read = pd.read_csv(io.StringIO(result.stdout), keep_default_na=False)
        assert read["age"].tolist() == expected
        assert read["region"].tolist() == ["US", "UK", "US", ""]


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_predictions_are_written_as_the_name_says(run: Run, tmp_path: Path, kind: str) -> None:
    envelope = save()
    FRAME.to_parquet(tmp_path / "in.parquet")
    out = tmp_path / f"out.{kind}"
    run("predict", envelope.id, "-i", str(tmp_path / "in.parquet"), "-f", str(out))
    readers = {
        "csv": pd.read_csv,
        "json": pd.read_json,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    assert readers[kind](out)["age"].tolist() == [40.0, 60.0, 0.0, 100.0]  # type: ignore[operator]


def test_types_of_text_files_come_from_the_signature(run: Run, tmp_path: Path) -> None:
    times = pd.to_datetime(["2024-01-01T00:00:00Z", "2024-06-01T12:00:00Z"])
    frame = pd.DataFrame(
        {
            "code": ["007", "NA"],
            "at": times,
            "plan": pd.Categorical(["a", "b"]),
            "count": pd.array([1, None], dtype="Int64"),
        }
    )

    def describe(given):  # type: ignore[no-untyped-def]
        return given["code"] + " " + given["plan"].astype(str) + given["at"].dt.year.astype(str)

    envelope = me.save_model(describe, tags={"canonical_name": "typed"}, api_input=frame)
    (tmp_path / "in.csv").write_text(
        "code,at,plan,count\n007,2024-01-01T00:00:00Z,a,1\nNA,2024-06-01T12:00:00Z,b,\n"
    )
    frame.to_json(tmp_path / "in.json", orient="records", date_format="iso")
    for name in ("in.csv", "in.json"):
        run("predict", envelope.id, "-i", str(tmp_path / name), "-f", str(tmp_path / "out.json"))
        (column,) = pd.read_json(tmp_path / "out.json").to_dict("list").values()
        assert column == ["007 a2024", "NA b2024"]


def test_input_that_does_not_fit_is_refused(run: Run, tmp_path: Path) -> None:
    envelope = save()
    out = tmp_path / "out.csv"

    def refused(content: str, *more: str) -> str:
        arguments = ("predict", envelope.id, "-i", "-", "-f", str(out), *more)
        return str(run(*arguments, code=1, input=content).stderr)

    assert "column 'region' is missing" in refused("age\n1\n")
    assert "invalid value 'old'" in refused("age,region\nold,US\n")
    assert "string, but double is expected" in refused('[{"age": "old", "region": "US"}]')
    assert "cannot be read as json" in refused("[1, 2]")
    assert "no column 'id' to keep" in refused("age,region\n1,US\n", "--keep", "id")
    assert "'age', too" in refused("age,region\n1,US\n", "--keep", "age")
    assert "no query function 'explain'" in refused("age,region\n1,US\n", "--function", "explain")
    assert not out.exists()
    gone = str(tmp_path / "gone.csv")
    assert "gone.csv" in run("predict", envelope.id, "-i", gone, code=1).stderr
    assert ".parquet" in run("predict", envelope.id, "-i", "in.xlsx", code=1).stderr


# Upkeep


def test_init_makes_the_store_that_was_asked_for(run: Run, tmp_path: Path) -> None:
    where = ("--store", f"sqlite:///{tmp_path}/new/s.sqlite", "--artifacts", f"{tmp_path}/files")
    assert run(*where, "db", "current").stdout.split() == ["database", "none", "needed", "0005"]
    made = run(*where, "init").stdout
    assert "(made)" in made
    assert "MODEL_ENVELOPE_STORE and MODEL_ENVELOPE_ARTIFACTS" in made
    assert (tmp_path / "new" / "s.sqlite").exists()
    assert "(was there)" in run(*where, "init").stdout
    run(*where, "query", code=3)
    assert "was up to date" in run(*where, "db", "upgrade").stdout


def test_init_shows_no_password(run: Run) -> None:
    url = "postgresql+psycopg://ada:hunter2@127.0.0.1:1/none"
    for command in (("init",), ("query",), ("db", "upgrade")):
        result = run("--store", url, *command, code=1)
        assert "hunter2" not in result.output
        assert "cannot be reached" in result.stderr


def test_gc_reports_what_it_removed(run: Run, home: Path) -> None:
    gone, kept = save(), save()
    gone.delete(timedelta(0))
    told = json.loads(run("gc", "--dry-run", "-o", "json").stdout)
    assert (home / "artifacts" / gone.id).exists()
    report = json.loads(run("gc", "-o", "json").stdout)
    assert report == told
    assert report["purged_envelopes"] == [gone.id]
    assert not (home / "artifacts" / gone.id).exists()
    assert (home / "artifacts" / kept.id).exists()
    assert "deleted envelopes" in run("gc").stdout


def test_gc_removes_built_environments_that_were_not_used(run: Run, tmp_path: Path) -> None:
    save()
    built = [tmp_path / "cache" / "environments" / (digit * 64) for digit in "ab"]
    for folder, days in zip(built, (40, 20), strict=True):
        (folder / "bin").mkdir(parents=True)
        stamp = folder / ".last-used"
        stamp.touch()
        then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(stamp, (then, then))
    for _ in range(2):
        told = run("gc", "--dry-run", "-o", "json").stdout
        assert json.loads(told)["environments"] == ["a" * 64]
    assert json.loads(run("gc", "-o", "json").stdout)["environments"] == ["a" * 64]
    assert [folder.exists() for folder in built] == [False, True]


def test_gc_touches_no_files_of_unknown_origin(run: Run, tmp_path: Path) -> None:
    stranger = tmp_path / "shared" / ("ab" * 10)
    stranger.mkdir(parents=True)
    where = ("--artifacts", str(tmp_path / "shared"))
    assert "gc --claim" in run(*where, "gc", code=1).stderr
    assert stranger.exists()
    assert json.loads(run(*where, "gc", "--claim", "-o", "json").stdout)["unknown"] == ["ab" * 10]
    assert not stranger.exists()


# Safety


def test_only_predict_loads_a_model(run: Run, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def predict(frame, trap=Canary(canary)):  # type: ignore[no-untyped-def]  # noqa: B008
        return frame["age"] * 2

    envelope = me.save_model(predict, tags={"canonical_name": "trap"}, api_input=FRAME)
    other = save(metrics={"auc": 1})
    canary.unlink(missing_ok=True)
    file = str(tmp_path / "moved.envelope")
    for command in (
        ("query", "--columns", "id,metric:auc"),
        ("show", envelope.id, "--history", "--packages"),
        ("show", envelope.id, "-o", "json"),
        ("diff", envelope.id, other.id),
        ("why", "True", envelope.id),
        ("metrics", "True"),
        ("tag", envelope.id, "a=b"),
        ("export", envelope.id, file),
        (
            "--store",
            f"sqlite:///{tmp_path}/b.sqlite",
            "--artifacts",
            f"{tmp_path}/b",
            "import",
            file,
        ),
    ):
        run(*command)
    assert not canary.exists()
    run("predict", envelope.id, "-i", "-", input="age,region\n1,US\n")
    assert canary.exists()


HOSTILE = "\x1b]0;owned\x07\x1b[31mred \u202edrawkcab [red]markup[/red] [/]"


def test_text_of_users_reaches_the_terminal_as_text(run: Run) -> None:
    odd = pd.DataFrame({"a\x1b[2Jb": [1.0, 2.0]})

    def predict(frame):  # type: ignore[no-untyped-def]
        return frame.iloc[:, 0]

    predict.__doc__ = HOSTILE
    envelope = me.save_model(
        predict,
        tags={"canonical_name": "[bold]x[/bold]", "odd": "[/nothing] :smile:"},
        description=HOSTILE,
        api_input=odd,
        hyperparameters={"note": HOSTILE},
    )
    for command in (
        ("query", "--columns", "id,tags,description"),
        ("query", "--columns", "description", "-o", "json"),
        ("show", envelope.id, "--history"),
        ("show", envelope.id, "-o", "json"),
        ("diff", envelope.id, envelope.id),
        ("why", f"canonical_name == {HOSTILE!r}", envelope.id),
    ):
        output = CliRunner().invoke(app, command).output
        assert not set("\x1b\x07\u202e") & set(output)
    shown = run("show", envelope.id).stdout
    assert "[red]markup[/red] [/]" in shown
    assert "[bold]x[/bold]" in shown
    assert ":smile:" in shown


def test_tables_are_plain_and_fit_when_piped(run: Run) -> None:
    save(tags={"long": "x" * 300, "日本": "語" * 60}, description="d" * 200)
    forced = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": None}
    for command in (("query",), ("show", "canonical_name"), ("metrics", "True")):
        result = CliRunner(env=forced).invoke(app, command)
        assert "\x1b" not in result.output
        assert max(map(len, result.stdout.splitlines()), default=0) <= 80
    query = run("query", "--columns", "tags").stdout
    assert "x" * 300 in "".join(query.split())


def script(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("model-envelope")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_what_an_encoding_lacks_is_written_as_an_escape() -> None:
    save(tags={"name": "\u8a9e"})
    done = script("query", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"name=\u8a9e" in done.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    save()
    program = Path(sys.executable).with_name("model-envelope")
    done = subprocess.run(
        ["bash", "-c", f"{program} show canonical_name -o json | head -1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def on_a_terminal(*arguments: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    leader, follower = pty.openpty()
    program = str(Path(sys.executable).with_name("model-envelope"))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    with subprocess.Popen(
        [program, *arguments], stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        written = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            written += chunk
        assert process.wait() == 0, written
    os.close(leader)
    return written.decode()


def test_a_terminal_gets_colours_of_ours_only() -> None:
    save(description=HOSTILE)
    shown = on_a_terminal("show", "canonical_name")
    assert "\x1b[1m" in shown
    assert "\x1b[31m" not in shown
    assert "\x1b]0;" not in shown


def test_long_transfers_show_progress_on_a_terminal_only(tmp_path: Path) -> None:
    ballast = os.urandom(6_000_000)

    def predict(frame):  # type: ignore[no-untyped-def]
        return frame["age"] * len(ballast)

    me.save_model(predict, tags={"canonical_name": "large"}, api_input=FRAME)
    save(tags={"canonical_name": "small"})
    assert "Exporting" in on_a_terminal("export", "canonical_name == 'large'", f"{tmp_path}/a")
    assert "Exporting" not in on_a_terminal("export", "canonical_name == 'small'", f"{tmp_path}/b")
    piped = script("export", "canonical_name == 'large'", f"{tmp_path}/c")
    assert piped.stderr == ""


# Errors


def test_an_error_is_one_message_and_debug_tells_where(run: Run) -> None:
    wrong = run("query", "region ==", code=1)
    assert wrong.stderr.startswith("Error: ")
    assert "Traceback" not in wrong.stderr
    assert "Traceback" in run("--debug", "query", "region ==", code=1).stderr


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("query", "--limit", "x"), ("query", "a", "b"), ("diff", "a")]
)
def test_wrong_usage_exits_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert "Usage" in run(*arguments, code=2).stderr


def test_help_needs_no_heavy_package() -> None:
    code = """
import sys
from model_envelope.cli import main
sys.argv = ["model-envelope", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"pandas", "numpy", "pyarrow", "sqlalchemy", "alembic", "boto3", "cloudpickle"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    for arguments in (["--help"], ["query", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == me.__version__


def test_the_short_name_is_the_same_command() -> None:
    scripts = {script.name: script.value for script in entry_points(group="console_scripts")}
    assert scripts["me"] == scripts["model-envelope"] == "model_envelope.cli:main"


# Completion


def test_bash_completes_by_the_script_that_is_shown() -> None:
    save()
    program = Path(sys.executable).parent
    code = """
source <(model-envelope --show-completion bash)
COMP_WORDS=(model-envelope query reg) COMP_CWORD=2
_model_envelope_completion model-envelope
echo "${COMPREPLY[@]}"
"""
    environment = {
        **os.environ,
        "PATH": f"{program}{os.pathsep}{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(
        ["bash", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("region\n", "")


def completions(*words: str, shell: str = "bash") -> list[str]:
    """What is offered for the last word, asked as the shells' scripts ask."""
    line = " ".join(("model-envelope", *words))
    asked = {
        "_MODEL_ENVELOPE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    result = CliRunner(env=asked).invoke(app, prog_name="model-envelope")
    assert (result.exit_code, result.stderr) == (0, "")
    return [offer for offer in result.stdout.splitlines() if offer]


def test_the_shell_completes_commands_ids_and_tags() -> None:
    first, second = save("US"), save("UK", tags={"stage": "test"})
    assert completions("una") == ["unarchive"]
    assert completions("show", first.id[:6]) == [first.id]
    assert completions("archive", second.id, first.id[:6]) == [first.id]
    assert completions("query", "sta") == ["stage"]
    assert completions("query", "''") == ["canonical_name", "region", "stage"]
    assert completions("tag", first.id, "reg") == ["region="]
    assert completions("metrics", "True", "--tag", "can") == ["canonical_name"]


def test_completion_looks_where_it_is_told_and_makes_no_store(tmp_path: Path) -> None:
    save()
    elsewhere = f"sqlite:///{tmp_path}/none.sqlite"
    assert completions("--store", elsewhere, "query", "reg") == []
    assert completions("--store", f"sqlite:///{tmp_path}/home/store.sqlite", "query", "reg") == [
        "region"
    ]
    assert not (tmp_path / "none.sqlite").exists()


def test_what_a_shell_could_evaluate_is_not_offered() -> None:
    save(tags={"reg$(touch x)": "a", "reg`x`": "b", "stage": "$(touch x) [/]"})
    for shell in ("bash", "zsh", "fish"):
        offered = "\n".join(completions("query", "reg", shell=shell) + completions("show", "''"))
        assert "region" in offered
        assert "touch" not in offered
        assert "`" not in offered
