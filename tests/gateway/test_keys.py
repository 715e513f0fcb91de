"""API keys: found, refused, revoked, and never kept in the clear."""

import stat
from pathlib import Path

import pytest

from steelyard.config.access import KeyOptions
from steelyard.gateway.keys import PREFIX, KeyRing, add_key, list_keys, revoke_key
from steelyard.model.errors import ConfigError

NOW_S = 1_800_000_000


@pytest.fixture
def options(tmp_path: Path) -> KeyOptions:
    return KeyOptions(file=str(tmp_path / "keys.json"))


def ring_of(options: KeyOptions) -> KeyRing[str]:
    return KeyRing(options, {"search": "SEARCH", "ads": "ADS"})


def test_a_key_is_found_however_it_is_written_and_nothing_else_is(options: KeyOptions) -> None:
    key_id, key = add_key(options, "search", NOW_S)
    _, other = add_key(options, "ads", NOW_S)
    ring = ring_of(options)
    for authorization in (f"Bearer {key}", f"bearer {key}", f"BEARER  {key} ", key):
        assert ring.owner(authorization.encode()) == "SEARCH"
        assert ring.owner(authorization.encode()) == "SEARCH"  # from the cache
    assert ring.owner(f"Bearer {other}".encode()) == "ADS"
    wrong = (
        "", "Bearer", "Bearer ", f"Basic {key}", key[:-1], key + "x", key.upper(), f"{PREFIX}{key_id}-",
        f"{PREFIX}{key_id}-{other.split('-', 3)[3]}", f"Bearer {key} {key}",
        "Bearer " + "x" * 10_000, "\xff",
    )  # fmt: skip
    assert [ring.owner(each.encode("latin-1")) for each in wrong] == [None] * len(wrong)


def test_neither_file_holds_a_key_and_others_may_read_neither(options: KeyOptions) -> None:
    _, key = add_key(options, "search", NOW_S)
    for path in (Path(options.file), Path(options.secret_path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert key.encode() not in path.read_bytes()
        assert key[-24:].encode() not in path.read_bytes()


def test_a_running_ring_takes_in_new_and_revoked_and_expired_keys(options: KeyOptions) -> None:
    _, first = add_key(options, "search", NOW_S)
    ring = ring_of(options)
    assert not ring.refresh(NOW_S)
    second_id, second = add_key(options, "ads", NOW_S, expires_s=NOW_S + 100)
    assert ring.owner(second.encode()) is None
    assert ring.refresh(NOW_S)
    assert ring.owner(second.encode()) == "ADS"
    ring.refresh(NOW_S + 100)
    assert ring.owner(second.encode()) is None
    first_id = next(key.id for key in list_keys(options) if key.id != second_id)
    assert ring.owner(first.encode()) == "SEARCH"
    revoke_key(options, first_id, NOW_S)
    assert ring.refresh(NOW_S)
    assert ring.owner(first.encode()) is None


def test_a_broken_file_leaves_the_keys_as_they_are(options: KeyOptions) -> None:
    _, key = add_key(options, "search", NOW_S)
    ring = ring_of(options)
    Path(options.file).write_text("{")
    with pytest.raises(ConfigError, match="not what `steelyard keys` writes"):
        ring.refresh(NOW_S)
    assert ring.owner(key.encode()) == "SEARCH"


def test_keys_of_a_tenant_that_is_not_configured_are_not_known(options: KeyOptions) -> None:
    _, key = add_key(options, "gone", NOW_S)
    assert ring_of(options).owner(key.encode()) is None


def test_a_hundred_thousand_wrong_keys_leave_nothing_behind(options: KeyOptions) -> None:
    key_id, key = add_key(options, "search", NOW_S)
    ring = ring_of(options)
    for number in range(50_000):
        assert ring.owner(f"Bearer {PREFIX}{number:012x}-{number}".encode()) is None
        assert ring.owner(f"Bearer {PREFIX}{key_id}-{number}".encode()) is None
    for blanks in range(300):
        assert ring.owner(b"Bearer " + b" " * blanks + key.encode()) == "SEARCH"
    assert len(ring.found) <= 4


def test_another_secret_makes_all_keys_wrong(options: KeyOptions, tmp_path: Path) -> None:
    _, key = add_key(options, "search", NOW_S)
    elsewhere = KeyOptions(file=options.file, secret_file=str(tmp_path / "other"))
    (tmp_path / "other").write_text("0" * 64)
    (tmp_path / "other").chmod(0o600)
    assert ring_of(elsewhere).owner(key.encode()) is None


def test_a_secret_that_others_may_read_is_refused(options: KeyOptions) -> None:
    add_key(options, "search", NOW_S)
    Path(options.secret_path).chmod(0o640)
    with pytest.raises(ConfigError, match="may be read by others: chmod 600"):
        ring_of(options)


def test_revoking_an_unknown_key_is_refused(options: KeyOptions) -> None:
    add_key(options, "search", NOW_S)
    with pytest.raises(ConfigError, match="no key with the id 'nope'"):
        revoke_key(options, "nope", NOW_S)
