"""The command line: `model-envelope`. Thin: every command is a few calls on one client."""

from __future__ import annotations


def main() -> None:
    """Run the command in `sys.argv`."""
    from model_envelope.cli.app import run

    run()
