"""Commands that set up a store and keep it tidy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from model_envelope import config
from model_envelope.cli import output
from model_envelope.cli.arguments import Context, Format
from model_envelope.cli.output import Page
from model_envelope.cli.session import session

db = typer.Typer(no_args_is_help=True, help="The schema of the store's database.")


def init(context: Context) -> None:
    """Make the store: the database's schema, and the place for artifacts."""
    from model_envelope.store.opening import current_revision, open_store

    current = session(context)
    url = current.store or config.store_url()
    made = current_revision(url) is None
    with open_store(url, create=True) as store:
        artifacts = current.client.artifacts
        store.claim_artifacts(artifacts)
        output.facts(
            [
                ("store", f"{store.address} ({'made' if made else 'was there'})"),
                ("artifacts", artifacts.address),
                ("cache", str(current.client.cache)),
            ]
        )
    settings = [(config.STORE, current.store), (config.ARTIFACTS, current.artifacts)]
    given = [name for name, value in settings if value]
    if given:
        output.say(f"\nTo use it elsewhere, set {' and '.join(given)} to what you gave here.")


def gc(
    context: Context,
    claim: Annotated[
        bool, typer.Option("--claim", help="Say that the artifacts are this store's; then collect.")
    ] = False,
    days: Annotated[
        int,
        typer.Option(
            "--unused-days",
            min=0,
            max=36_500,
            help="Remove what was not used for so long: built environments, images, logs.",
        ),
    ] = 30,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing; tell what would be.")
    ] = False,
    format_: Format = Page.table,
) -> None:
    """Remove what nobody needs: leavings of saves, deleted envelopes, old environments and logs."""
    from model_envelope.deployment.prediction_logs import prune as prune_logs
    from model_envelope.deployment.pruning import prune as prune_targets
    from model_envelope.environment.caching import prune

    client = session(context).client
    if claim:
        client.store.claim_artifacts(client.artifacts)
    report = client.store.collect_garbage(client.artifacts, dry_run=dry_run)
    keep = timedelta(days=days)
    environments = prune(client.cache, keep=keep, dry_run=dry_run)
    targets = prune_targets(client.platform, keep=keep, dry_run=dry_run)
    logs = prune_logs(client.store, client.platform.state, keep=keep, dry_run=dry_run)
    if format_ is Page.json:
        output.document(
            {
                "expired_uploads": report.expired_uploads,
                "purged_envelopes": report.purged_envelopes,
                "unknown": report.unknown,
                "environments": environments,
                "targets": targets,
                "prediction_logs": logs,
            }
        )
        return
    output.facts(
        [
            ("saves that never ended", report.expired_uploads),
            ("deleted envelopes", _counted(report.purged_envelopes)),
            ("files of no envelope", _counted(report.unknown)),
            ("environments", _counted([name[:12] for name in environments])),
            *(
                (f"left at the target {kind}", found if isinstance(found, str) else _counted(found))
                for kind, found in targets.items()
            ),
            ("logs of predictions", _counted(logs)),
        ],
    )


@db.command()
def upgrade(context: Context) -> None:
    """Bring the schema up to date; make it where there is none."""
    from model_envelope.store import opening

    url = session(context).store or config.store_url()
    before = opening.current_revision(url)
    opening.upgrade(url)
    after = opening.current_revision(url)
    output.say(f"{after}: was up to date." if before == after else f"{before or 'none'} -> {after}")


@db.command()
def current(context: Context) -> None:
    """Tell the schema of the database, and the one that this version needs."""
    from model_envelope.store import opening

    found = opening.current_revision(session(context).store or config.store_url())
    output.facts([("database", found or "none"), ("needed", opening.SCHEMA)])


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(names)}" if names else "0"
