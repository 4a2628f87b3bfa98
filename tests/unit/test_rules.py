"""Deployment rules, as people write them in Python and in YAML files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from model_envelope.deployment.gates.answers import Latency
from model_envelope.deployment.gates.records import Metric
from model_envelope.deployment.gates.registry import read_gates
from model_envelope.deployment.rule import Rule
from model_envelope.deployment.rule_files import load_rules
from model_envelope.errors import InvalidInput, InvalidRule

LEAST: dict[str, Any] = {"name": "ltv-us", "when": "region == 'US'", "service": "ltv-us"}


def read(**more: Any) -> Rule:
    return Rule.read({**LEAST, **more})


def problems(**more: Any) -> dict[str, str]:
    with pytest.raises(InvalidRule) as caught:
        read(**more)
    return dict(caught.value.problems)


# One rule


def test_a_rule_says_little_where_little_is_meant() -> None:
    rule = read()
    assert rule.target == {"kind": "process", "options": {}}
    assert (rule.select, rule.gates, rule.rollout, rule.owner) == ("latest", (), {}, "")
    assert rule.metric is None
    assert rule.query.text == "region == 'US'"


def test_a_rule_may_say_much() -> None:
    rule = read(
        when={"region": ["US", "UK"], "passes_tests": "true"},
        target={"kind": "docker", "replicas": 2},
        select="min metric.validation.rmse",
        gates=["reproducible", {"metric": "metric.rmse < 20"}, {"latency": {"seconds": 0.1}}],
        rollout={"canary": {"share": 0.1, "seconds": 5}, "shadow": None},
        owner="ada@example.com",
    )
    assert rule.when == "region in ('US', 'UK') and passes_tests == 'true'"
    assert rule.target == {"kind": "docker", "options": {"replicas": 2}}
    assert rule.gates == (
        {"reproducible": {}},
        {"metric": "metric.rmse < 20"},
        {"latency": {"seconds": 0.1}},
    )
    assert rule.rollout == {"canary": {"share": 0.1, "seconds": 5}}
    assert (rule.metric, rule.greatest) == ("validation.rmse", False)
    assert rule.query.text == f"{rule.when} and metric.validation.rmse"
    assert Rule.read({"name": rule.name, "service": rule.service, **rule.spec()}) == rule


def test_a_gate_may_be_given_as_an_object() -> None:
    gates = [Metric(expression="metric.auc > 0.5"), Latency(seconds=0.1)]
    rule = read(gates=gates)
    assert rule.gates[0] == {"metric": {"expression": "metric.auc > 0.5"}}
    assert list(read_gates(rule.gates)) == gates


@pytest.mark.parametrize(
    "select", ["max metric.auc", "max  metric['auc']", "min metric['odd/name']"]
)
def test_a_metric_may_be_written_in_every_way(select: str) -> None:
    rule = read(select=select)
    assert rule.metric == ("odd/name" if "odd" in select else "auc")
    assert read(select=rule.select) == rule


@pytest.mark.parametrize(
    "select",
    ["", "best", "max", "max auc", "max metric.auc > 1", "max not metric.auc", "max archived", 1],
)
def test_what_selects_nothing_is_refused(select: Any) -> None:
    assert set(problems(select=select)) == {"select"}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems(
        wen="x", when="region =", service="/../admin", gates=["reproducable"], owner=7, name="a/b"
    )
    assert set(found) == {"wen", "when", "service", "gates", "owner", "name"}
    assert "Did you mean 'when'?" in found["wen"]
    with pytest.raises(InvalidRule) as caught:
        Rule.read({"wen": "x"})
    assert [what for key, what in caught.value.problems if not key] == [
        "It has no 'name'.",
        "It has no 'when'.",
        "It has no 'service'.",
    ]


def test_an_error_can_travel_between_processes() -> None:
    with pytest.raises(InvalidRule) as caught:
        read(owner=7)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == (str(caught.value), caught.value.problems)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("when", 7),
        ("when", "region == 'US' ; DROP TABLE rule"),
        ("when", "__import__('os').system('id')"),
        ("when", "a" * 20_000),
        ("target", 3),
        ("target", {}),
        ("target", {"kind": 1}),
        ("target", {"kind": "process", "x": object()}),
        ("gates", "reproducible"),
        ("gates", [7]),
        ("gates", [{"metric": "x", "latency": 1}]),
        ("gates", [{"metric": "region =="}]),
        ("gates", [{"latency": {"secnods": 1}}]),
        ("gates", ["canary"]),
        ("rollout", "canary"),
        ("rollout", {"canari": {}}),
        ("rollout", {"canary": {"share": 7}}),
        ("owner", "a\nb"),
        ("owner", "x" * 1000),
        ("name", "a\n"),
        ("service", "metrics"),
        ("service", "a\u200bb"),
    ],
)
def test_hostile_and_wrong_values_are_refused(key: str, value: Any) -> None:
    assert set(problems(**{key: value})) == {key}


def test_a_rule_is_not_endless() -> None:
    found = problems(target={"kind": "process", "x": "y" * 100_000})
    assert "larger than" in found[""]


# Files


def written(folder: Path, text: str, name: str = "rules.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


GOOD = """\
# Kept in git.
rules:
  - name: ltv-us
    when: region == 'US'
    service: ltv-us
    target: {kind: docker, replicas: 2}
    gates: [reproducible, metric: metric.rmse < 20]
  - name: ltv-uk
    when: region == 'UK'
    service: ltv-uk
"""


def test_a_file_holds_rules(tmp_path: Path) -> None:
    us, uk = load_rules(written(tmp_path, GOOD))
    assert us == read(
        target={"kind": "docker", "replicas": 2},
        gates=["reproducible", {"metric": "metric.rmse < 20"}],
    )
    assert uk.name == "ltv-uk"


def test_a_folder_holds_files(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "us/rules.yaml")
    written(tmp_path, "rules: [{name: a, when: b, service: c}]", "a.yml")
    written(tmp_path, "not: [rules", "README.txt")
    names = ["a", "ltv-us", "ltv-uk"]
    assert [rule.name for rule in load_rules(tmp_path)] == names
    both = load_rules([tmp_path / "a.yml", tmp_path, str(tmp_path / "us")])
    assert [rule.name for rule in both] == names


def told(*files: Path) -> list[str]:
    """Each problem as `file:line: what`, without the folder."""
    with pytest.raises(InvalidInput) as caught:
        load_rules(files)
    lines = str(caught.value).split("\n  ")[1:]
    return [line.removeprefix(f"{files[0].parent}/") for line in lines]


def test_every_problem_of_every_file_is_told_with_its_line(tmp_path: Path) -> None:
    one = written(
        tmp_path,
        """\
rules:
  - name: ltv-us
    wen: region == 'US'
    service: ltv-us
    gates:
      - reproducable
  - 7
  - name: twice
    name: twice
  - name: ltv-uk
    when: region == 'UK'
    service: ltv-uk
    owner: 2026-01-01
""",
    )
    other = written(tmp_path, "rules: [{name: a, when: b c, service: d}]", "z.yaml")
    found = told(one, other)
    places = [line.split(": ")[0] for line in found if not line.startswith(" ")]
    assert places == [*(f"rules.yaml:{line}" for line in (2, 3, 5, 7, 9, 13)), "z.yaml:1"]
    assert "It has no 'when'." in found[0]
    assert "Did you mean 'when'?" in found[1]
    assert "There is no gate 'reproducable'" in found[2]
    assert "rule 'ltv-uk': owner" in found[5]


def test_rules_that_would_fight_are_told(tmp_path: Path) -> None:
    one = written(tmp_path, GOOD)
    other = written(
        tmp_path,
        "rules:\n- {name: ltv-us, when: x, service: y}\n- {name: z, when: x, service: ltv-uk}\n",
        "z.yaml",
    )
    assert told(one, other) == [
        f"z.yaml:2: There is a rule 'ltv-us' already, in {one}:3.",
        f"z.yaml:3: rule 'z': Rule 'ltv-uk', in {one}:8, has the service 'ltv-uk', too: two "
        "rules would take it from each other.",
    ]


BOMB = "a: &a [x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "empty"),
        ("- name: a", 1, "should have a list `rules:`"),
        ("rule:\n- name: a", 1, "Did you mean 'rules'?"),
        ("rules: 7", 1, "should be a list"),
        ("rules: {name: a}", 1, "should be a list"),
        ("x: 1\nrules: []", 1, "Nothing is known of 'x'"),
        ("rules:\n  - name: a\n   when: b", 3, "no YAML"),
        ("rules:\n- name: a\n--- \nrules: []", 3, "no YAML"),
        ("rules: [\x01]", 1, "no YAML"),
        ("rules:\n- name: !!python/object/apply:os.system ['id']", 2, "could not determine"),
        ("rules:\n- name: !secret x", 2, "could not determine"),
        ("rules:\n- &a {name: x}\n- *a", 3, "Aliases"),
        (BOMB, 2, "Aliases"),
        ("rules: " + "[" * 100_000, 1, "nested more than"),
        ("rules:\n- {? [a, b] : c}", 2, "cannot be read"),
        ("rules:\n- name: a\n  gates: [{metric: x, metric: y}]", 3, "'metric' is there twice"),
        ("rules:\n- owner: 99999-99-99\n  name: 2026-99-99", 2, ""),
        ("# " + "x" * 3_000_000, 1, "more than"),
    ],
)
def test_what_is_no_file_of_rules_is_refused(
    tmp_path: Path, text: str, line: int, what: str
) -> None:
    found = told(written(tmp_path, text))
    assert found[0].startswith(f"rules.yaml:{line}: ")
    assert what in found[0]


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file or folder"):
        load_rules(tmp_path / "none.yaml")
    with pytest.raises(InvalidInput, match=r"\.yaml or \.yml"):
        load_rules(tmp_path)
    file = tmp_path / "rules.yaml"
    file.write_bytes(b"rules: [\xff\xfe]")
    assert "no YAML" in told(file)[0]


def test_the_words_of_yaml_are_no_trap(tmp_path: Path) -> None:
    """`yes`, `on`, and numbers are no text in YAML: that is told, not guessed."""
    found = told(written(tmp_path, "rules:\n- name: on\n  when: yes\n  service: 7\n"))
    assert [line.split(": ")[0] for line in found] == [f"rules.yaml:{i}" for i in (2, 3, 4)]
