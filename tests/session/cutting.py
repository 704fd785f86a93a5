"""A proxy before PostgreSQL that cuts the connection: at its n-th message, or at COMMIT before the server or the client hears of it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Literal

When = Literal["before", "after"]
NAME = ".s.PGSQL.5432"
ENOUGH = 65_536


class CuttingProxy:
    """Listens in *folder* and passes everything on to the server whose socket is in *server*, until a COMMIT comes.

    Args:
        when: cut ``before`` the server has the COMMIT, or ``after`` it has answered; None passes everything.

    Attributes:
        passed: how many messages of clients went through, or were to go.
        at: cut the one of that number, before the server has it.
    """

    def __init__(self, folder: Path, server: Path, when: When | None = None) -> None:
        self.folder = folder
        self.when = when
        self.cut = 0
        self.passed = 0
        self.at: int | None = None
        self._server = server
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / NAME))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Close everything, and wait until nothing of it runs."""
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server / NAME))
                self._open += [client, server]
                for work in (lambda c=client, s=server: self._up(c, s), lambda c=client, s=server: _down(s, c)):
                    self._threads.append(threading.Thread(target=work))
                    self._threads[-1].start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what the client says."""
        with suppress(OSError):
            while data := client.recv(ENOUGH):
                self.passed += 1
                if self.passed == self.at or (self.when is not None and b"COMMIT\0" in data):
                    self.cut += 1
                    # The client's half goes first: what the server answers then reaches nobody.
                    client.shutdown(socket.SHUT_RDWR)
                    if self.when == "after":
                        server.sendall(data)
                        # The server ends the connection when it has done what was asked before.
                        server.shutdown(socket.SHUT_WR)
                    else:
                        server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)


def _down(server: socket.socket, client: socket.socket) -> None:
    """Pass on what the server answers, and read to the end what nobody hears any more."""
    listening = True
    with suppress(OSError):
        while data := server.recv(ENOUGH):
            if listening:
                try:
                    client.sendall(data)
                except OSError:
                    listening = False
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
