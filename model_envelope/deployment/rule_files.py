"""Deployment rules in YAML files, as they are kept in git.

rules:
- name: ltv-us
when: canonical_name == 'client_ltv' and region == 'US' and passes_tests == 'true'
service: ltv-us
gates: [reproducible, metric: metric.rmse < 20]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model_envelope.deployment.rule import Rule, near
from model_envelope.errors import InvalidInput, InvalidRule

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 2_000_000
MAX_DEPTH = 30
KEY = "rules"


@dataclass(frozen=True, order=True, slots=True)
class _Place:
    """A line of a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class _Problem:
    at: _Place
    what: str


def load_rules(paths: str | Path | Iterable[str | Path]) -> tuple[Rule, ...]:
    """The rules of YAML files, in their order.

    Args:
        paths: files; or folders, of which every `*.yaml` and `*.yml` is read, in the
            folders below too.

    Raises:
        InvalidInput: with everything that is wrong, each with its file and line.
    """
    problems: list[_Problem] = []
    found: list[tuple[_Place, Rule]] = []
    for file in _files([paths] if isinstance(paths, str | Path) else list(paths)):
        for place, rule in _read(file, problems):
            found.append((place, rule))
    problems += _repeated(found, "name", "rule")
    problems += _repeated(found, "service", "service")
    if problems:
        ordered = sorted(problems, key=lambda problem: problem.at)
        lines = [f"{problem.at}: {problem.what}" for problem in ordered]
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise InvalidInput("\n  ".join((f"{count}; no rule was read:", *lines)))
    return tuple(rule for _, rule in found)


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    """The files of paths, each once."""
    seen = set()
    for path in map(Path, paths):
        if not path.exists():
            raise InvalidInput(f"There is no file or folder {path}.")
        below = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
        if path.is_dir() and not below:
            raise InvalidInput(f"The folder {path} has no file that ends in .yaml or .yml.")
        for file in below if path.is_dir() else [path]:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _read(file: Path, problems: list[_Problem]) -> Iterator[tuple[_Place, Rule]]:
    """The rules of a file; what is wrong is put to the problems."""
    try:
        entries = _entries(file)
        for entry in entries.value:
            place = _place(file, entry)
            try:
                given, lines = _mapping(file, entry)
                yield place, Rule.read(given)
            except InvalidRule as error:
                name = f"rule {error.name!r}: " if isinstance(error.name, str) else ""
                for key, what in error.problems:
                    about = f"{key}: " if key in given else ""
                    line = lines.get(key, place)
                    problems.append(_Problem(line, f"{name}{about}{_indented(what)}"))
            except _Refused as refusal:
                problems.append(refusal.problem)
    except _Refused as refusal:
        problems.append(refusal.problem)


class _Refused(Exception):
    def __init__(self, at: _Place, what: str) -> None:
        super().__init__(what)
        self.problem = _Problem(at, what)


def _entries(file: Path) -> yaml.SequenceNode:
    """The list below `rules`."""
    root = _parse(file)
    start = _Place(str(file), 1)
    if root is None:
        raise _Refused(start, f"The file is empty: it should have a list `{KEY}:`.")
    if not isinstance(root, yaml.MappingNode):
        raise _Refused(_place(file, root), f"The file should have a list `{KEY}:`.")
    keys = {key.value: (key, value) for key, value in root.value}
    for name, (key, _) in keys.items():
        if name != KEY:
            what = f"Nothing is known of {name!r:.80} here; write rules below `{KEY}:`."
            raise _Refused(_place(file, key), what + near(str(name), [KEY]))
    entries = keys[KEY][1] if keys else None
    if not isinstance(entries, yaml.SequenceNode):
        raise _Refused(start, f"`{KEY}:` should be a list: `- name: …` for each rule.")
    return entries


def _parse(file: Path) -> yaml.Node | None:
    """The syntax tree of a file."""
    start = _Place(str(file), 1)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise _Refused(start, f"It cannot be read: {error.strerror or error}.") from error
    if len(text) > MAX_BYTES:
        raise _Refused(start, f"It has more than {MAX_BYTES} bytes.")
    try:
        _refuse_bombs(file, text)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _Place(str(file), mark.line + 1) if mark else start
        raise _Refused(place, f"It is no YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, UnicodeError) as error:
        what = " ".join(str(error).split())
        raise _Refused(start, f"It is no YAML: {what}.") from error


def _refuse_bombs(file: Path, text: bytes) -> None:
    """What is read is to be as large as the file says, and no deeper than a reader can go."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        place = _Place(str(file), event.start_mark.line + 1 if event.start_mark else 1)
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(place, "Aliases (`*name`) are not read: write it out.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _Refused(place, f"It is nested more than {MAX_DEPTH} deep.")


def _mapping(file: Path, node: yaml.Node) -> tuple[dict[str, Any], dict[str, _Place]]:
    """What a rule says by its keys, and where it says it."""
    if not isinstance(node, yaml.MappingNode):
        raise _Refused(_place(file, node), "A rule is a mapping: `- name: …` and more keys.")
    _refuse_repeated_keys(file, node)
    lines = {str(key.value): _place(file, key) for key, _ in node.value}
    try:
        found = yaml.SafeLoader("").construct_document(node)
    except yaml.MarkedYAMLError as error:
        place = _place(file, node)
        if error.problem_mark is not None:
            place = _Place(str(file), error.problem_mark.line + 1)
        raise _Refused(place, f"It cannot be read: {error.problem}.") from error
    except ValueError as error:
        raise _Refused(_place(file, node), f"It cannot be read: {error}.") from error
    return {str(key): value for key, value in found.items()}, lines


def _refuse_repeated_keys(file: Path, node: yaml.Node) -> None:
    """YAML says that keys are unique; its reader takes the last one and says nothing."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(file, item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Refused(_place(file, key), f"{key.value!r:.80} is there twice.")
                seen.add(key.value)
            _refuse_repeated_keys(file, value)


def _place(file: Path, node: yaml.Node) -> _Place:
    return _Place(str(file), node.start_mark.line + 1)


def _repeated(
    found: Sequence[tuple[_Place, Rule]], attribute: str, what: str
) -> Iterator[_Problem]:
    """What two rules share and must not."""
    first: dict[str, tuple[_Place, Rule]] = {}
    for place, rule in found:
        value = getattr(rule, attribute)
        if value not in first:
            first[value] = (place, rule)
            continue
        where, other = first[value]
        if what == "rule":
            yield _Problem(place, f"There is a rule {value!r} already, in {where}.")
        elif other.name != rule.name:
            yield _Problem(
                place,
                f"rule {rule.name!r}: Rule {other.name!r}, in {where}, has the service "
                f"{value!r}, too: two rules would take it from each other.",
            )


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
