"""systemd's journal, played by a datagram socket that speaks its protocol."""

from __future__ import annotations

import array
import os
import socket
from pathlib import Path
from types import TracebackType

Entry = dict[str, str]


class FakeJournal:
    """Listens at `path`. A context manager; reads only when asked, like a journal that is stopped."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "journal")
        self._socket = self._listen()

    def _listen(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.bind(self.path)
        listening.setblocking(False)
        return listening

    def __enter__(self) -> FakeJournal:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._socket.close()

    def go_away(self) -> None:
        self._socket.close()
        Path(self.path).unlink()

    def come_back(self) -> None:
        self._socket = self._listen()

    def datagrams(self) -> list[bytes]:
        """Return what has come in since the last look."""
        found = []
        while True:
            try:
                text, rights, _, _ = self._socket.recvmsg(2**20, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return found
            for _, _, numbers in rights:
                (number,) = array.array("i", numbers)
                text = os.pread(number, 2**24, 0)
                os.close(number)
            found.append(text)

    def entries(self) -> list[Entry]:
        return [entry_of(each) for each in self.datagrams()]


def entry_of(datagram: bytes) -> Entry:
    """Return the fields of an entry in the journal's native protocol."""
    fields, rest = {}, datagram
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, is_plain, value = line.partition(b"=")
        if not is_plain:
            size = int.from_bytes(rest[:8], "little")
            value, end, rest = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            assert end == b"\n", datagram
        fields[name.decode()] = value.decode()
    return fields
