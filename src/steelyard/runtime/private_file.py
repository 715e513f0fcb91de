"""Files that hold secrets: made readable by their owner only, refused when others may read them."""

import os
import secrets
import stat
from pathlib import Path

from steelyard.model.errors import ConfigError

MAX_BYTES = 65_536


def read_private(path: Path, what: str) -> bytes:
    """A secret file's bytes without blanks at its ends. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise ConfigError(f"{what} {path} may be read by others: chmod 600 {path}")
            content = file.read(MAX_BYTES).strip()
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror}") from None
    if not content:
        raise ConfigError(f"{what} {path} is empty: put the secret into it")
    return content


def make_secret(path: Path) -> bytes:
    """Make a file with 256 random bits in hexadecimal, or read the one that is there. Raises ConfigError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_private(path, "the secret")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}: name another file") from None
    with os.fdopen(descriptor, "wb") as file:
        secret = secrets.token_hex(32).encode()
        file.write(secret + b"\n")
    return secret


def replace_private(path: Path, content: bytes) -> None:
    """Write a whole file or leave the old one, readable by its owner only. Raises ConfigError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error.strerror}: name another file") from None
