"""`python -m model_envelope.cli`, where the command is not on the PATH."""

from model_envelope.cli import main

main()
