"""Rules and plans on the command line and in Python: what each prints, changes and exits with."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import model_envelope as me
from model_envelope.cli.app import app

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def store(home: Path, sqlite_template: Path) -> None:
    """The embedded store of this test, with the current schema."""
    home.mkdir()
    shutil.copy(sqlite_template, home / "store.sqlite")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command; checks its exit code, 0 unless told, and that nothing was raised."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.exit_code == code, result.output
        return result

    return run


def save(**tags: str) -> str:
    return me.save_model(lambda frame: 1.0, tags={"name": "ltv", **tags}, api_input=None).id


RULES = """\
rules:
  - name: ltv-us
    when: region == 'US' and passes_tests == 'true'
    service: ltv-us
    gates: [reproducible, metric: metric.rmse < 20]
    owner: ada@example.com
  - name: ltv-uk
    when: region == 'UK'
    service: ltv-uk
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two rules."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


# In Python


def test_a_rule_is_made_changed_paused_and_removed() -> None:
    made = me.rule("ltv-us", when={"region": "US"}, service="ltv-us", gates=["reproducible"])
    assert (made.revision, made.spec["when"]) == (1, "region == 'US'")
    assert made.spec["gates"] == [{"reproducible": {}}]
    assert made.actor
    again = me.rule("ltv-us", when="region == 'US'", service="ltv-us", gates=["reproducible"])
    assert again == made
    changed = me.rule("ltv-us", when="region == 'US'", service="ltv-us")
    assert changed.revision == 2
    assert me.rules() == (changed,)
    assert me.pause_rule("ltv-us", "wait").paused
    assert not me.resume_rule("ltv-us").paused
    assert me.remove_rule("ltv-us").removed
    assert me.rules() == ()
    history = me.connect().rule_history("ltv-us")
    assert [(r.revision, r.paused, r.removed) for r in history] == [
        (1, False, False),
        (2, False, False),
        (2, True, False),
        (2, False, False),
        (2, False, True),
    ]


def test_a_wrong_rule_is_refused_with_all_that_is_wrong() -> None:
    with pytest.raises(me.errors.InvalidRule) as caught:
        me.rule("a/b", when="region ==", service="metrics", select="best", gates=["x"], owner="\n")
    assert [key for key, _ in caught.value.problems] == [
        *("name", "when", "service", "select", "gates", "owner")
    ]
    for target in ("nowhere", {"kind": "process", "nothing": 1}):
        with pytest.raises(me.errors.InvalidRule, match="target"):
            me.rule("a", when="x", service="a", target=target)
    me.rule("a", when="x", service="a")
    with pytest.raises(me.errors.InvalidInput, match="both have the service 'a'"):
        me.rule("b", when="x", service="a")
    assert [rule.name for rule in me.rules()] == ["a"]


def test_a_plan_tells_what_would_be_deployed_and_why_not_another() -> None:
    me.rule("ltv", when="region == 'US' and passes_tests == 'true'", service="ltv")
    passing = save(region="US", passes_tests="true")
    newer = save(region="US")
    plan = me.plan()
    (decision,) = plan.decisions
    assert (decision.action, decision.envelope_id) == ("deploy", passing)
    assert plan.changes == (decision,)
    (near,) = decision.near
    assert (near.newest, near.clause, near.found) == (
        newer,
        "passes_tests == 'true'",
        "no tag passes_tests",
    )
    assert me.plan(["ltv"], explain=False).decisions[0].near == ()
    assert me.services() == ()
    with pytest.raises(me.errors.RuleNotFound):
        me.plan(["none"])


# Applying


def test_apply_tells_what_it_changes(run: Run, file: Path) -> None:
    first = run("rules", "apply", str(file)).stdout
    assert first.splitlines() == [
        "+ ltv-uk",
        "    service  ltv-uk",
        "    when     region == 'UK'",
        "    target   process",
        "    select   latest",
        "+ ltv-us",
        "    service  ltv-us",
        "    when     region == 'US' and passes_tests == 'true'",
        "    target   process",
        "    select   latest",
        "    gates    reproducible; metric: metric.rmse < 20",
        "    owner    ada@example.com",
        "2 new",
    ]
    assert run("rules", "apply", str(file)).stdout == "2 same\n"
    file.write_text(
        RULES.replace("region == 'UK'", "region == 'GB'").replace(
            "    owner: ada@example.com\n", ""
        )
    )
    assert run("rules", "apply", str(file)).stdout.splitlines() == [
        "~ ltv-uk  1 -> 2",
        "    when     - region == 'UK'",
        "             + region == 'GB'",
        "~ ltv-us  1 -> 2",
        "    owner    - ada@example.com",
        "             + nothing",
        "2 changed",
    ]
    assert [rule.revision for rule in me.rules()] == [2, 2]


def test_apply_removes_only_what_it_is_told_to(run: Run, file: Path) -> None:
    me.rule("by-hand", when="x", service="by-hand")
    left = run("rules", "apply", str(file))
    assert left.stdout.endswith("2 new\n")
    assert "by-hand (--prune)" in left.stderr
    pruned = run("rules", "apply", str(file), "--prune")
    assert pruned.stdout == "- by-hand\n1 removed, 2 same\n"
    assert pruned.stderr == ""
    assert [rule.name for rule in me.rules()] == ["ltv-uk", "ltv-us"]


def test_a_dry_run_changes_nothing_and_says_so_by_its_exit_code(run: Run, file: Path) -> None:
    told = run("rules", "apply", str(file), "--dry-run", code=4).stdout
    assert told.endswith("2 new; nothing was applied\n")
    assert me.rules() == ()
    run("rules", "apply", str(file))
    assert "2 same" in run("rules", "apply", str(file), "--dry-run").stdout
    me.rule("by-hand", when="x", service="by-hand")
    run("rules", "apply", str(file), "--dry-run")
    run("rules", "apply", str(file), "--dry-run", "--prune", code=4)
    assert len(me.rules()) == 3


def test_apply_is_all_or_nothing(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("rules: [{name: x, when: region =, service: Y}]")
    failed = run("rules", "apply", str(tmp_path), code=1).stderr
    assert "2 problems" in failed
    assert f"{tmp_path / 'more.yaml'}:1: rule 'x': when" in failed
    assert me.rules() == ()
    (tmp_path / "more.yaml").unlink()
    me.rule("mine", when="x", service="ltv-us")
    assert "both have the service 'ltv-us'" in run("rules", "apply", str(file), code=1).stderr
    assert [rule.name for rule in me.rules()] == ["mine"]
    # A rule gets another name.
    run("rules", "apply", str(file), "--prune")
    assert [rule.name for rule in me.rules()] == ["ltv-uk", "ltv-us"]
    assert "no file or folder" in run("rules", "apply", str(tmp_path / "none"), code=1).stderr


def test_apply_is_read_by_programs(run: Run, file: Path) -> None:
    me.rule("ltv-uk", when="region == 'GB'", service="ltv-uk")
    uk, us = json.loads(run("rules", "apply", str(file), "-o", "json").stdout)
    assert (uk["rule"], uk["change"], uk["revision"]) == ("ltv-uk", "changed", 1)
    assert uk["differences"] == {"when": {"before": "region == 'GB'", "after": "region == 'UK'"}}
    assert us["change"] == "new"


# Looking


def test_rules_are_listed_and_shown(run: Run, file: Path) -> None:
    assert run("rules", "list").stdout == ""
    run("rules", "apply", str(file))
    run("rules", "pause", "ltv-uk", "--reason", "Rolled \x1b[31mback")
    listed = run("rules", "list").stdout
    assert "region == 'US' and passes_tests == 'true'" in listed
    assert r"Rolled \x1b[31mback" in listed
    found = json.loads(run("rules", "list", "-o", "json").stdout)
    assert [(r["rule"], r["revision"], r["paused"]) for r in found] == [
        ("ltv-uk", 1, True),
        ("ltv-us", 1, False),
    ]
    assert found[1]["gates"] == [{"reproducible": {}}, {"metric": "metric.rmse < 20"}]
    rows = list(csv.DictReader(io.StringIO(run("rules", "list", "-o", "csv").stdout)))
    assert [row["service"] for row in rows] == ["ltv-uk", "ltv-us"]
    shown = run("rules", "show", "ltv-us").stdout
    assert "metric: metric.rmse < 20" in shown
    assert "in force" in shown
    assert json.loads(run("rules", "show", "ltv-us", "-o", "json").stdout) == found[1]


def test_what_became_of_a_rule_is_told(run: Run, file: Path) -> None:
    run("rules", "apply", str(file))
    assert "goes on" in run("rules", "pause", "ltv-uk").stdout
    assert "acts again" in run("rules", "resume", "ltv-uk").stdout
    assert "undeploy ltv-uk" in run("rules", "remove", "ltv-uk").stdout
    assert "removed" in run("rules", "show", "ltv-uk").stdout
    states = [line.split()[4:6] for line in run("rules", "history", "ltv-uk").stdout.splitlines()]
    assert [state[0] for state in states[1:]] == ["in", "paused", "in", "removed"]
    found = json.loads(run("rules", "history", "ltv-uk", "-o", "json").stdout)
    assert [r["removed"] for r in found] == [False, False, False, True]
    for command in ("show", "history", "pause", "resume", "remove"):
        assert "no rule 'none'" in run("rules", command, "none", code=1).stderr


def test_the_plan_is_shown(run: Run, file: Path) -> None:
    assert "There are no rules" in run("plan").stdout
    run("rules", "apply", str(file))
    passing = save(region="US", passes_tests="true")
    newer = save(region="US")
    shown = run("plan").stdout
    assert "1 deploy, 1 no_match" in shown
    assert passing in shown
    assert "held back by one clause" in shown
    assert newer in shown
    assert newer not in run("plan", "--no-explain").stdout
    found = json.loads(run("plan", "ltv-us", "-o", "json").stdout)
    (decision,) = found["decisions"]
    assert {k: decision[k] for k in ("service", "rule", "action", "envelope", "runs")} == {
        "service": "ltv-us",
        "rule": "ltv-us",
        "action": "deploy",
        "envelope": passing,
        "runs": None,
    }
    assert decision["near"] == [
        {
            "envelope": newer,
            "fails": "passes_tests == 'true'",
            "has": "no tag passes_tests",
            "envelopes": 1,
        }
    ]
    assert "no rule 'none'" in run("plan", "none", code=1).stderr


def test_the_shell_completes_names_of_rules_and_services(file: Path) -> None:
    me.connect().apply_rules(file)
    store = me.connect().store
    store.want("ltv-us", target={"kind": "process"}, envelope_id=None, by="ada")

    def completions(*words: str) -> list[str]:
        asked = {
            "_MODEL_ENVELOPE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("model-envelope", *words)),
            "COMP_CWORD": str(len(words)),
        }
        result = CliRunner(env=asked).invoke(app, prog_name="model-envelope")
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout.split()

    assert completions("rules", "pause", "ltv") == ["ltv-uk", "ltv-us"]
    assert completions("plan", "ltv-uk", "ltv-us") == ["ltv-us"]
    assert completions("rollback", "l") == ["ltv-us"]
