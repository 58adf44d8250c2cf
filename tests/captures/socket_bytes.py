"""How much of what was sent over a loopback connection its receiver has taken, as Linux counts it.

What a server wrote says little about what its client read: both kernels hold bytes between them, up to the
client's receive buffer (the third number of net.ipv4.tcp_rmem, 32 MiB on some hosts). Two counts are sharp:

- arrived, what the client's kernel has confirmed: tcpi_bytes_acked of TCP_INFO (RFC 4898, ThruOctetsAcked);
- taken, what the client's process has read: arrived without its receive queue (`rx_queue` in /proc/net/tcp).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/net/tcp")
_BYTES_ACKED_AT = 120
"""Offset of tcpi_bytes_acked in struct tcp_info, include/uapi/linux/tcp.h; since Linux 4.1."""
_INFO_BYTES = 256
_ESTABLISHED = "01"


def acknowledged(connection: socket.socket) -> int | None:
    """Return the bytes confirmed by the other end since the connection opened; None if the kernel won't say."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        found: int = struct.unpack_from("Q", info, _BYTES_ACKED_AT)[0]
    except (OSError, struct.error):
        return None
    return found


@dataclass(frozen=True, slots=True)
class Ends:
    """The ports of a connection on this host: the client's, and the server's."""

    client: int
    server: int


def receive_queues(table: str) -> dict[Ends, int]:
    """Return the unread bytes at the client's end of each open connection, from the text of /proc/net/tcp."""
    found = {}
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[3] == _ESTABLISHED:
            own, other = (int(words[index].rpartition(":")[2], 16) for index in (1, 2))
            found[Ends(own, other)] = int(words[4].partition(":")[2], 16)
    return found
