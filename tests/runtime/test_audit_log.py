"""The audit log: every change, omission or repetition of a line shows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steelyard.model.errors import ConfigError
from steelyard.runtime.audit_log import MAX_DETAIL, TAIL_BYTES, AuditLog, verify


def test_lines_of_several_writers_form_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    logs = [AuditLog(path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: logs[n % 4].append("me", "drain", f"replica {n}"), range(40)))
    assert verify(path) == 40


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [*lines[:2], lines[2].replace("drain", "smile"), *lines[3:]], 3),
        (lambda lines: lines[:2] + lines[3:], 3),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines, lines[-1]], 6),
        (lambda lines: [*lines, "{}"], 6),
    ],
    ids=["changed", "taken out", "first taken out", "swapped", "repeated", "nonsense"],
)
def test_damage_is_found(tmp_path: Path, damage: Callable[[list[str]], list[str]], line: int) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    for number in range(5):
        log.append("me", "drain", str(number))
    path.write_text("\n".join(damage(path.read_text().splitlines())) + "\n")
    with pytest.raises(ConfigError, match=f"line {line}:"):
        verify(path)


def test_what_is_no_audit_log_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk\n")
    with pytest.raises(ConfigError, match="move it away"):
        AuditLog(path).append("me", "drain")
    assert path.read_text() == "milk\n"


@pytest.mark.parametrize("letter", ["a", "é", "\0", "\U0001f600"])
def test_no_text_makes_a_line_that_the_next_action_cannot_read(tmp_path: Path, letter: str) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    long = letter * TAIL_BYTES
    for _ in range(3):
        log.append(long, long, long)
    log.append("me", "drain")
    assert verify(path) == 4
    assert max(len(line) for line in path.read_bytes().splitlines()) < 3 * 6 * MAX_DETAIL + 500 < TAIL_BYTES
