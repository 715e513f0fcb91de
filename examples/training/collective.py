"""Sums of vectors over the ranks of a gang, by plain sockets: what gloo or NCCL do, small enough to read.

Rank 0 listens at MASTER_ADDR:MASTER_PORT, the others connect. A sum is made there in the order of ranks,
so that it does not depend on who was first: floating-point addition does.
"""

import os
import socket
import struct
import time

import numpy as np

CONNECT_TIMEOUT_S = 60.0
_HELLO = struct.Struct(">II")  # rank, world size


class Collective:
    """The gang of this process, from the task contract's variables."""

    def __init__(self) -> None:
        """Wait until all ranks are there. Raises OSError when they do not come."""
        self.rank = int(os.environ.get("RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self._peers: list[socket.socket] = []
        if self.world_size > 1:
            place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
            self._peers = self._gather(place) if self.rank == 0 else [self._join(place)]

    def _gather(self, place: tuple[str, int]) -> list[socket.socket]:
        found: dict[int, socket.socket] = {}
        with socket.create_server(place, backlog=self.world_size) as listener:
            listener.settimeout(CONNECT_TIMEOUT_S)
            while len(found) < self.world_size - 1:
                peer, _ = listener.accept()
                peer.settimeout(CONNECT_TIMEOUT_S)
                rank, world_size = _HELLO.unpack(_read(peer, _HELLO.size))
                if world_size != self.world_size or not 0 < rank < world_size:
                    peer.close()
                    continue
                found[rank] = peer
        return [found[rank] for rank in sorted(found)]

    def _join(self, place: tuple[str, int]) -> socket.socket:
        until_s = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            try:
                master = socket.create_connection(place, timeout=CONNECT_TIMEOUT_S)
                break
            except ConnectionRefusedError:  # rank 0 is not there yet
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.05)
        master.sendall(_HELLO.pack(self.rank, self.world_size))
        return master

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum over all ranks, the same bits on each. Raises OSError when a rank is gone."""
        if self.rank == 0:
            for peer in self._peers:
                values = values + np.frombuffer(_read(peer, values.nbytes), values.dtype)
            for peer in self._peers:
                peer.sendall(values.tobytes())
            return values
        self._peers[0].sendall(values.tobytes())
        return np.frombuffer(_read(self._peers[0], values.nbytes), values.dtype)

    def close(self) -> None:
        """Leave the gang."""
        for peer in self._peers:
            peer.close()


def _read(peer: socket.socket, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes:
        piece = peer.recv(size_bytes - len(data))
        if not piece:
            raise ConnectionResetError("a rank of the gang is gone")
        data += piece
    return bytes(data)
