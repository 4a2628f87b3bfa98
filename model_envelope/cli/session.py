"""What every command shares: the client, how errors are told, how long work is shown."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from model_envelope.cli import output
from model_envelope.cli.text import shown_lines
from model_envelope.errors import EnvelopeError, EnvelopeNotFound

if TYPE_CHECKING:
    from model_envelope.client.client import Client
    from model_envelope.client.envelope import Envelope

FAILED = 1
NO_MATCH = 3

LARGE = 5_000_000
"""Bytes from which on a transfer shows its progress."""

_ID = re.compile(r"[0-9a-f]{4,20}")


@dataclass(frozen=True)
class Session:
    """One run of the command line."""

    store: str | None
    artifacts: str | None
    debug: bool

    @cached_property
    def client(self) -> Client:
        """The client, made when the first command needs it."""
        from model_envelope.client.client import Client

        return Client(self.store, self.artifacts)

    def close(self) -> None:
        """Close the store, if it was opened."""
        if "client" in vars(self) and "store" in vars(self.client):
            self.client.store.close()

    def envelope(self, target: str) -> Envelope:
        """The envelope of an id, of the first digits of one, or the latest match of a query.

        Raises:
            EnvelopeNotFound: there is none.
        """
        if not _ID.fullmatch(target):
            return self.client.latest(target)
        try:
            return self.client.get(target)
        except EnvelopeNotFound as error:
            if not target[0].isalpha():
                raise
            # A word such as `beef` is a tag, too.
            try:
                return self.client.latest(target)
            except EnvelopeNotFound:
                raise error from None


def session(context: typer.Context) -> Session:
    """The session of a command."""
    found: Session = context.obj
    return found


class Commands(TyperGroup):
    """Commands whose errors are one message on stderr, and an exit code that says which."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except EnvelopeError as error:
            if ctx.params.get("debug"):
                output.note("".join(traceback.format_exception(error)).rstrip())
            else:
                output.note(f"Error: {error}")
            missing = isinstance(error, EnvelopeNotFound)
            raise typer.Exit(NO_MATCH if missing else FAILED) from error


@contextmanager
def logged(debug: bool) -> Iterator[None]:
    """Show what the library logs on stderr: warnings, and to people what takes its time."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("%(message)s"))
    logger = logging.getLogger("model_envelope")
    level = logger.level
    logger.setLevel(logging.INFO if debug or sys.stderr.isatty() else logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown_lines(super().format(record))


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A callback for transfers that draws a bar: on a terminal, for what takes a while."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True), transient=True)
    task = bar.add_task(title, total=None)

    def report(done: int, total: int) -> None:
        if total > LARGE:
            bar.start()
            bar.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        bar.stop()
