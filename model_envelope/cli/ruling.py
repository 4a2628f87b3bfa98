"""Commands about deployment rules: what should run where, and what that would change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_envelope.cli import completing, output
from model_envelope.cli.arguments import Context, Format, RowsFormat
from model_envelope.cli.output import Page, Rows
from model_envelope.cli.session import session
from model_envelope.cli.text import cell

if TYPE_CHECKING:
    from model_envelope.deployment.applying import RuleChange
    from model_envelope.deployment.planning import Decision
    from model_envelope.store.rows import RuleRecord

CHANGES = 4
"""What `rules apply --dry-run` exits with when something would change."""

rules = typer.Typer(
    no_args_is_help=True, help="Deployment rules: which models should run as which services."
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="RULE",
        help="The rule's name.",
        autocompletion=completing.rules,
        show_default=False,
    ),
]

_SIGNS = {"new": "+", "changed": "~", "removed": "-"}


@rules.command()
def apply(
    context: Context,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH…", help="YAML files, or folders.", show_default=False),
    ],
    *,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove rules that are in none of the files.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help=f"Change nothing; exit with {CHANGES} if something would change."
        ),
    ] = False,
    format_: Format = Page.table,
) -> None:
    """Bring the rules to what files say, and tell what that changes: all of it, or nothing."""
    changes = session(context).client.apply_rules(paths, prune=prune, dry_run=dry_run)
    if format_ is Page.json:
        output.document([_change_as_json(change) for change in changes])
    else:
        _tell(changes, dry_run)
    if dry_run and any(change.kind in _SIGNS for change in changes):
        raise typer.Exit(CHANGES)


@rules.command("list")
def list_(
    context: Context,
    format_: RowsFormat = Rows.table,
) -> None:
    """List the rules, paused ones too."""
    found = session(context).client.rules()
    columns = ("rule", "revision", "service", "target", "paused", "when")
    rows = [
        (
            record.name,
            record.revision,
            record.service,
            _shown(record.spec.get("target")),
            (record.pause_reason or "yes") if record.paused else None,
            record.spec.get("when"),
        )
        for record in found
    ]
    whole = ("rule", "service")
    output.listing(format_, columns, rows, whole=whole, items=map(_as_json, found))


@rules.command()
def show(context: Context, name: Name, *, format_: Format = Page.table) -> None:
    """Tell everything that a rule says."""
    record = session(context).client.store.get_rule(name)
    if format_ is Page.json:
        output.document(_as_json(record))
        return
    state = "removed" if record.removed else "in force"
    if record.paused and not record.removed:
        state = f"paused: {record.pause_reason}" if record.pause_reason else "paused"
    facts: dict[str, Any] = {
        "rule": record.name,
        "revision": record.revision,
        "state": state,
        "changed": f"{cell(record.at)} by {record.actor or 'nobody named'}",
        "service": record.service,
    }
    output.facts((facts | {key: _shown(value) for key, value in record.spec.items()}).items())


@rules.command()
def history(
    context: Context,
    name: Name,
    *,
    format_: RowsFormat = Rows.table,
) -> None:
    """List every change of a rule, the first one first."""
    found = session(context).client.rule_history(name)
    columns = ("at", "by", "revision", "state", "service", "when")
    rows = [
        (
            record.at,
            record.actor,
            record.revision,
            "removed" if record.removed else "paused" if record.paused else "in force",
            record.service,
            record.spec.get("when"),
        )
        for record in found
    ]
    output.listing(format_, columns, rows, whole=("at",), items=map(_as_json, found))


@rules.command()
def pause(
    context: Context,
    name: Name,
    *,
    reason: Annotated[str, typer.Option(help="Shown with the rule.")] = "",
) -> None:
    """Let a rule change nothing until it is resumed; what runs goes on."""
    record = session(context).client.pause_rule(name, reason)
    output.say(f"{record.name} is paused; {record.service} goes on with what it runs.")


@rules.command()
def resume(context: Context, name: Name) -> None:
    """Let a paused rule act again."""
    record = session(context).client.resume_rule(name)
    output.say(f"{record.name} acts again; `model-envelope plan {record.name}` tells how.")


@rules.command()
def remove(context: Context, name: Name) -> None:
    """Take a rule out of force; what its service runs goes on."""
    record = session(context).client.remove_rule(name)
    output.say(
        f"{record.name} is removed; {record.service} goes on with what it runs. "
        f"`model-envelope undeploy {record.service}` ends that."
    )


def plan(
    context: Context,
    only: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RULE…",
            help="Only these rules.",
            autocompletion=completing.rules,
            show_default=False,
        ),
    ] = None,
    *,
    explain: Annotated[
        bool, typer.Option(help="Tell which clause held back what is nearer.")
    ] = True,
    retry: Annotated[
        bool, typer.Option("--retry", help="As if what failed before were tried again.")
    ] = False,
    format_: Format = Page.table,
) -> None:
    """Tell what `reconcile` would deploy, replace and leave, and why; changes nothing."""
    found = session(context).client.plan(only or None, explain=explain, retry=retry)
    if format_ is Page.json:
        decisions = [_decision_as_json(decision) for decision in found.decisions]
        output.document({"revision": found.revision, "decisions": decisions})
        return
    columns = ("service", "rule", "action", "envelope", "runs", "reason")
    rows = [
        (d.service, d.rule, d.action, d.envelope_id, d.replaces, d.reason) for d in found.decisions
    ]
    if rows:
        output.table(columns, rows, whole=("service", "action", "envelope"))
    near = [
        (decision.rule, miss.newest, miss.clause, miss.found, miss.envelopes)
        for decision in found.decisions
        for miss in decision.near
    ]
    if near:
        output.table(
            ("rule", "envelope", "fails", "it has", "like it"),
            near,
            whole=("envelope",),
            title="held back by one clause",
        )
    output.say(("\n" if rows else "") + _summary(found.decisions))


def _summary(decisions: Sequence[Decision]) -> str:
    if not decisions:
        return "There are no rules, and nothing is wanted of any service."
    counts: dict[str, int] = {}
    for decision in decisions:
        counts[decision.action] = counts.get(decision.action, 0) + 1
    return ", ".join(f"{count} {action}" for action, count in sorted(counts.items()))


def _tell(changes: Sequence[RuleChange], dry_run: bool) -> None:
    for change in changes:
        if change.kind not in _SIGNS:
            continue
        revisions = f"  {change.revision} -> {change.revision + 1}" * (change.kind == "changed")
        output.say(f"{_SIGNS[change.kind]} {change.name}{revisions}")
        for key, before, after in change.differences:
            if change.kind == "new":
                output.say(f"    {key:8} {_shown(after)}")
                continue
            output.say(f"    {key:8} - {_shown(before) or 'nothing'}")
            output.say(f"    {'':8} + {_shown(after) or 'nothing'}")
    counts = {kind: sum(change.kind == kind for change in changes) for kind in (*_SIGNS, "same")}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    output.say(f"{told or 'no rules'}{'; nothing was applied' if dry_run else ''}")
    left = [change.name for change in changes if change.kind == "left"]
    if left:
        output.note(f"In none of the files, and left as they are: {', '.join(left)} (--prune).")


def _shown(value: Any) -> str:
    """What a rule says of one thing, on one line."""
    match value:
        case None:
            return ""
        case {"kind": kind, "options": options}:
            return f"{kind} {_shown(options)}".rstrip()
        case Mapping():
            return ", ".join(
                f"{key}: {_shown(item)}" if item else key for key, item in value.items()
            )
        case list():
            return "; ".join(map(_shown, value))
        case str():
            return value
        case _:
            return json.dumps(value)


def _as_json(record: RuleRecord) -> dict[str, Any]:
    return {
        "rule": record.name,
        "revision": record.revision,
        "service": record.service,
        **record.spec,
        "paused": record.paused,
        "pause_reason": record.pause_reason,
        "removed": record.removed,
        "changed_at": record.at,
        "changed_by": record.actor,
    }


def _change_as_json(change: RuleChange) -> dict[str, Any]:
    return {
        "rule": change.name,
        "change": change.kind,
        "revision": change.revision,
        "differences": {
            key: {"before": before, "after": after} for key, before, after in change.differences
        },
    }


def _decision_as_json(decision: Decision) -> dict[str, Any]:
    return {
        "service": decision.service,
        "rule": decision.rule,
        "action": decision.action,
        "envelope": decision.envelope_id,
        "runs": decision.replaces,
        "reason": decision.reason,
        "near": [
            {
                "envelope": miss.newest,
                "fails": miss.clause,
                "has": miss.found,
                "envelopes": miss.envelopes,
            }
            for miss in decision.near
        ],
    }
