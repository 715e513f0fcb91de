"""`steelyard demo caches`: real nginx caches behind the hash ring."""

import sys
import tempfile
from pathlib import Path

import click
from rich.table import Table

from steelyard.cli import exit_codes
from steelyard.cli.terminal import console, listing
from steelyard.demo.cache_story import KEYS, POLICIES, CacheStory, play
from steelyard.demo.caches import nginx_command


@click.command()
@click.option(
    "--requests",
    type=click.IntRange(min=200),
    default=4_000,
    show_default=True,
    help="Requests in each of the four chapters.",
)
def caches(requests: int) -> None:
    """Watch four nginx caches behind the hash ring, and one of them killed; round robin for contrast.

    Needs nginx (on Debian: apt install nginx-light). Exit code 1 when a request was lost.

    \b
    Example:
      steelyard demo caches --requests 2000
    """
    nginx_command()
    terminal = console()
    stories = {}
    for policy in POLICIES:
        with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
            stories[policy] = play(policy, requests, Path(folder), terminal.print)
    terminal.print(_table(stories))
    ring = stories["hash-ring"]
    terminal.print(
        f"hash-ring: of {KEYS:,} keys the killed cache had {ring.had:.1%}; {ring.moved:.1%} lead elsewhere "
        f"now, {ring.needless:.1%} without need"
    )
    lost = sum(each.lost for story in stories.values() for each in story.chapters)
    sys.exit(exit_codes.FAILED if lost else exit_codes.DONE)


def _table(stories: dict[str, CacheStory]) -> Table:
    made = listing("policy", "chapter", "requests", "hit share", "busiest cache", "lost")
    for story in stories.values():
        for each in story.chapters:
            cells = (f"{each.requests:,}", f"{each.hits:.1%}", f"{each.busiest:.2f} × mean", str(each.lost))
            made.add_row(each.policy, each.title, *cells)
    return made
