"""An audit log: one JSON line an action, each with the hash of the one before, so that none can be taken
out or changed without breaking the chain behind it.

Several processes may append (the supervisor, `steelyard keys`): each locks the file, reads the last hash,
writes and syncs. What a chain cannot show is that its end was cut off: keep the last hash elsewhere (the
admin port tells it) to notice that. Secrets never belong into a line.
"""

import fcntl
import hashlib
import os
import time
from pathlib import Path

import msgspec

from steelyard.model.errors import ConfigError

BEGINNING = "0" * 64
TAIL_BYTES = 65_536
# Of each text, in characters: JSON makes at most six bytes of one, so a whole line lies well within the tail
# that is read for its hash. A line that does not would stop the log, and with it every action.
MAX_DETAIL = 2_000


class AuditLine(msgspec.Struct):
    """One action. `hash` covers all fields before it."""

    time_s: float
    who: str
    what: str
    detail: str
    previous: str
    hash: str = ""

    def digest(self) -> str:
        """What `hash` must be."""
        fields = (self.time_s, self.who, self.what, self.detail, self.previous)
        return hashlib.blake2b(msgspec.json.encode(fields), digest_size=32).hexdigest()


_decoder = msgspec.json.Decoder(AuditLine)


class AuditLog:
    """A file that is only appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last_hash = BEGINNING

    def append(self, who: str, what: str, detail: str = "") -> None:
        """Record one action, on the disk before this returns. Raises ConfigError."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                lines = file.read().splitlines()
                previous = _decoder.decode(lines[-1]).hash if lines else BEGINNING
                who, what, detail = (text[:MAX_DETAIL] for text in (who, what, detail))
                line = AuditLine(round(time.time(), 3), who, what, detail, previous)
                line.hash = self.last_hash = line.digest()
                file.write(msgspec.json.encode(line) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ConfigError(f"cannot write the audit log {self._path}: {error.strerror}") from None
        except msgspec.MsgspecError:
            raise ConfigError(
                f"the audit log {self._path} does not end in a line of an audit log: move it away"
            ) from None


def verify(path: Path) -> int:
    """Check the chain; the number of lines. Raises ConfigError naming the first line that is wrong."""
    previous, number = BEGINNING, 0
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                line = _decoder.decode(text)
                if line.previous != previous or line.hash != line.digest():
                    raise ConfigError(f"{path}, line {number}: this line or the one before it was changed")
                previous = line.hash
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise ConfigError(f"{path}, line {number}: this is no line of an audit log") from None
    return number
