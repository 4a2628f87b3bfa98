"""An SMTP server that keeps what it gets, to see what Airflow's notifiers send."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage


class _Conversation(socketserver.StreamRequestHandler):
    """One connection; every command is fine."""

    def handle(self) -> None:
        self._say("220 mailbox")
        while line := self.rfile.readline():
            match line.upper().split()[:1]:
                case [b"DATA"]:
                    self._say("354 go on")
                    self._keep()
                    self._say("250 kept")
                case [b"QUIT"]:
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 fine")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def _keep(self) -> None:
        lines = list(iter(self.rfile.readline, b".\r\n"))
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        self.server.mails.append(mail)  # type: ignore[attr-defined]


@contextmanager
def mailbox() -> Iterator[tuple[int, list[EmailMessage]]]:
    """Gives the port of a mail server on 127.0.0.1, and the mails that have come."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Conversation) as server:
        mails: list[EmailMessage] = []
        server.mails = mails  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], mails
        finally:
            server.shutdown()
            thread.join()
