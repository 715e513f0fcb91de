"""Every command that a page shows is run, or says why it is not, and then at least names what there is."""

import re
import shlex
from pathlib import Path

import click
import pytest
from tools.docs_site.blocks import Block, blocks, unlabelled
from tools.docs_site.shell import apart, not_seen, run_page

from steelyard.cli.main import steelyard

ROOT = Path(__file__).parents[2]
ELSEWHERE = ("README.md", "CONTRIBUTING.md", "examples/README.md", "benchmarks/README.md")
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ELSEWHERE),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
MUST_RUN = {"README.md", "docs/index.md", "docs/tutorial.md"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    return list(blocks(page.read_text(encoding="utf-8")))


RUN = [page for page in PAGES if any(not block.reason for block in blocks_of(page))]


@pytest.mark.timeout(240)  # pages beside each other on two cores
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_does_what_it_says(page: Path) -> None:
    if not apart():
        pytest.skip("this machine gives no processes and network apart (unshare --net --pid)")
    count, _ = run_page(page)
    assert count


def test_the_pages_that_a_newcomer_reads_are_run() -> None:
    run = {name_of(page) for page in RUN}
    how_to = {name_of(page) for page in (ROOT / "docs" / "how-to").glob("*.md")}
    assert run >= MUST_RUN | how_to


def test_commands_are_marked_as_such() -> None:
    found = {name_of(page): unlabelled(page.read_text(encoding="utf-8")) for page in PAGES}
    lines = {page: lines for page, lines in found.items() if lines}
    assert not lines, "these lines look like commands: call the block `sh` or `console`"


def test_what_another_test_runs_is_there() -> None:
    missing = [
        f"{name_of(page)}:{block.line}: {block.reason}"
        for page in PAGES
        for block in blocks_of(page)
        if block.reason.startswith("run by ") and not (ROOT / block.reason.removeprefix("run by ")).is_file()
    ]
    assert missing == []


def test_commands_that_are_not_run_name_verbs_and_options_that_exist() -> None:
    for page in PAGES:
        for block in blocks_of(page):
            for command in block.commands if block.reason else ():
                for part in re.split(r";|&&|\||>", command.text.replace("\\\n", " ")):
                    words = part.split("#")[0].split()
                    if words[:1] == ["steelyard"]:
                        check(shlex.split(part.split("#")[0])[1:], f"{name_of(page)}:{command.line}")


def check(words: list[str], where: str) -> None:
    """Let click read a verb's arguments without running it."""
    context = click.Context(steelyard)
    command = steelyard.get_command(context, words[0])
    assert command is not None, f"{where}: no verb {words[0]}"
    try:
        command.make_context(words[0], words[1:], parent=context)
    except click.ClickException as error:
        pytest.fail(f"{where}: {error.format_message()}")


def test_console_blocks_tell_commands_from_what_is_seen() -> None:
    text = "```console\n$ cat <<'END' \\\n> | wc\nit's\nEND\nseen …\n$ sleep 1 &\n```\n"
    (block,) = blocks(text)
    first, second = block.commands
    assert first.text == "cat <<'END' \\\n| wc\nit's\nEND"
    assert first.expected == ["seen …"]
    assert (second.text, second.in_background, second.line) == ("sleep 1 &", True, 7)


def test_scripts_are_split_where_a_shell_would() -> None:
    text = "<!-- not run: just so -->\n```sh\n# why\none \\\n  two   # aside\necho 'a\nb'\n\nthree\n```\n"
    (block,) = blocks(text)
    assert block.reason == "not run: just so"
    assert [each.text for each in block.commands] == ["one \\\n  two", "echo 'a\nb'", "three"]


def test_what_must_be_seen_is_looked_for_in_order() -> None:
    assert not_seen(["a … c", "d"], "noise\na b c\nmore\nd\n") is None
    assert not_seen(["d", "a … c"], "a b c\nd\n") == "a … c"


def test_commands_without_a_language_are_found() -> None:
    assert unlabelled("```\nsteelyard up\n```\n\n    curl x\n\ntext\n") == [2, 5]
