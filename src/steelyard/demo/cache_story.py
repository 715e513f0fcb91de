"""The demo of caches: keys of very different popularity, four real caches, and one that is killed."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.demo.caches import (
    CacheNode,
    CacheShape,
    cache_fleet,
    die_with_parent,
    end,
    free_port,
    wait_for_port,
)
from steelyard.demo.key_stream import (
    KeyAnswer,
    ask_all,
    hit_share,
    moved,
    moved_needlessly,
    spread,
    wait_for_answer,
    zipf_keys,
)

CACHES, KEYS, EXPONENT, CLIENTS, SEED = 4, 4_000, 0.9, 24, 7
KILLED = 1
POLICIES = ("round-robin", "hash-ring")


@dataclass(frozen=True, slots=True)
class Chapter:
    """Some requests, and what came of them. busiest: requests of the busiest cache over the mean."""

    policy: str
    title: str
    requests: int
    hits: float
    busiest: float
    lost: int


@dataclass(frozen=True, slots=True)
class CacheStory:
    """One policy's. moved, needless: shares of all keys, after the killed cache was given up."""

    chapters: tuple[Chapter, ...]
    had: float
    moved: float
    needless: float


def play(policy: str, requests: int, folder: Path, say: Callable[[str], None]) -> CacheStory:
    """Fill the caches, use them, kill one under load, go on without it. Raises SteelyardError."""
    stream = zipf_keys(KEYS, 4 * requests, EXPONENT, SEED)
    keys = [f"/objects/{number}" for number in range(KEYS)]
    with (
        cache_fleet(CACHES, folder / "caches", CacheShape(rate_per_s=400)) as nodes,
        _gateway(policy, nodes, folder) as port,
    ):
        chapters = []

        def chapter(title: str, number: int, count: int, each: Callable[[], None] = lambda: None) -> None:
            part = stream[number * requests : (number + 1) * requests]
            answers = ask_all(port, part, CLIENTS, done=each)
            chapters.append(_told(policy, title, answers, count))
            say(f"{policy}: {title}: {chapters[-1].hits:.0%} hits")

        chapter("empty caches fill", 0, CACHES)
        chapter("four caches", 1, CACHES)
        before = ask_all(port, keys, 1, probe=True)
        victim = nodes[KILLED]
        chapter(f"{victim.name} is killed on the way", 2, CACHES, _after(requests // 3, victim.kill))
        chapter("three caches", 3, CACHES - 1)
        after = ask_all(port, keys, 1, probe=True)
    had = sum(each.node == victim.name for each in before) / len(before)
    return CacheStory(
        tuple(chapters), had, moved(before, after), moved_needlessly(before, after, victim.name)
    )


def _after(count: int, act: Callable[[], None]) -> Callable[[], None]:
    """A function that acts at its `count`-th call."""
    lock, left = threading.Lock(), [count]

    def step() -> None:
        with lock:
            left[0] -= 1
            due = left[0] == 0
        if due:
            act()

    return step


def _told(policy: str, title: str, answers: Sequence[KeyAnswer], caches: int) -> Chapter:
    lost = sum(each.status != 200 for each in answers)
    return Chapter(policy, title, len(answers), hit_share(answers), spread(answers, caches), lost)


@contextlib.contextmanager
def _gateway(policy: str, nodes: Sequence[CacheNode], folder: Path) -> Iterator[int]:
    port, path, said_path = free_port(), folder / "steelyard.toml", folder / "said.log"
    replicas = "\n".join(f'[[pools.replicas]]\nurl = "{node.url}"\nid = "{node.name}"' for node in nodes)
    path.write_text(
        f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:0"\nworkers = 1\n'
        f'[[pools]]\nname = "cache"\nkind = "http"\npolicy = "{policy}"\nhash_on = "path"\n{replicas}\n',
        encoding="utf-8",
    )
    with said_path.open("wb") as said:
        command = [sys.executable, "-m", "steelyard", "serve", str(path)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=die_with_parent
        )
    try:
        wait_for_port(port, process, said_path)
        wait_for_answer(port)
        yield port
    finally:
        end([process])
