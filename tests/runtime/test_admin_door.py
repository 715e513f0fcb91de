"""Keys, sessions, tokens."""

import time

import pytest

from steelyard.runtime.admin_door import MAX_LEFT, SESSION_S, Door


def test_a_session_is_known_to_every_process_with_the_key() -> None:
    session = Door(b"secret").begin_session()
    assert Door(b"secret").knows(session)
    assert not Door(b"other").knows(session)


@pytest.mark.parametrize(
    "session", [b"", b".", b"..", b"9999999999.x.", b"9999999999.x.00", b"\xff.\xff.\xff"]
)
def test_what_is_no_session_is_not_known(session: bytes) -> None:
    assert not Door(b"secret").knows(session)


def test_a_changed_session_is_not_known() -> None:
    session = Door(b"secret").begin_session()
    assert not Door(b"secret").knows(b"9" + session)
    assert not Door(b"secret").knows(session[:-1] + (b"0" if session[-1:] != b"0" else b"1"))


def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(b"secret")
    session = door.begin_session()
    left = door.begin_session()
    door.end_session(left)
    assert (door.knows(session), door.knows(left)) == (True, False)
    later = time.time() + SESSION_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert not door.knows(session)


def test_ended_sessions_have_a_bound() -> None:
    door = Door(b"secret")
    for _ in range(MAX_LEFT + 10):
        door.end_session(door.begin_session())
    assert len(door._left) == MAX_LEFT


def test_a_token_belongs_to_its_session_and_process() -> None:
    door = Door(b"secret")
    assert door.token_fits(b"a", door.token(b"a"))
    assert not door.token_fits(b"b", door.token(b"a"))
    assert not door.token_fits(b"a", "é")
    assert not Door(b"").token_fits(b"", Door(b"").token(b""))


def test_without_a_key_nothing_fits() -> None:
    assert not Door(b"").fits(b"")
    assert not Door(b"secret").fits(b"Secret")
