"""Whose loop has stopped: only the time in which the watcher itself was awake counts."""

from steelyard.runtime.watchdog import LOOK_S, Watchdog


def looks(dog: Watchdog, count: int, beats: dict[int, int], start_s: float = 0.0) -> list[int]:
    return [key for at in range(count) for key in dog.look(start_s + at * LOOK_S, beats)]


def test_a_silent_one_is_noticed_and_then_given_up_once() -> None:
    dog = Watchdog(2.0)
    assert looks(dog, 5, {1: 7, 2: 7}) == []
    assert dog.stalled == 2
    assert looks(dog, 3, {1: 7, 2: 8}, 5 * LOOK_S) == []
    assert looks(dog, 8, {1: 7, 2: 9}, 8 * LOOK_S) == [1]
    assert dog.look(20 * LOOK_S, {2: 10}) == []
    assert dog.stalled == 0


def test_a_watcher_that_slept_as_well_blames_nobody() -> None:
    dog = Watchdog(2.0)
    looks(dog, 3, {1: 7})
    assert dog.look(1000.0, {1: 7}) == []  # all were stopped together
    assert dog.look(1000.0 + LOOK_S, {1: 8}) == []
    assert dog.stalled == 0


def test_one_that_beats_is_never_given_up() -> None:
    dog = Watchdog(1.0)
    assert [key for at in range(100) for key in dog.look(at * LOOK_S, {1: at // 3})] == []
