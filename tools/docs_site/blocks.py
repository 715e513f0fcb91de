"""The commands that a page shows, as a reader would type them.

Fenced blocks of the languages `sh` and `console` are commands. In `console`, lines behind `$ ` are typed and
the rest is what must be seen: each line in this order, `…` standing for anything, other lines between them
allowed. A comment before the fence says why a block is not run, or which test runs it:

    <!-- not run: needs Docker -->
    <!-- run by tests/examples/test_examples.py -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FENCE = re.compile(
    r"(?:^<!-- (?P<reason>not run: .+?|run by [^ ]+) -->\n\n?)?"
    r"^(?P<fence>```+)(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("sh", "console")
SHELLS = ("", "bash", "shell", "zsh")
# What a command looks like where no language says so. These blocks would never be run.
LOOKS_LIKE_A_COMMAND = re.compile(
    r"^(?: {4})?(?:\$ )?(?:sudo )?(?:steelyard (?!is|are|has|does)[a-z]|make [a-z]|curl |docker |helm |pip "
    r"|pipx |uvx |python3? -m |systemctl |cp |git clone)",
    re.MULTILINE,
)


@dataclass(slots=True)
class Command:
    """One command and what its reader must see."""

    line: int
    text: str
    expected: list[str] = field(default_factory=list)

    @property
    def in_background(self) -> bool:
        """Whether it goes on while the next ones are typed."""
        return self.text.rstrip().endswith("&")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of commands; `reason` is empty, or says why it is not run, or who runs it."""

    line: int
    reason: str
    commands: tuple[Command, ...]


def blocks(text: str) -> Iterator[Block]:
    """All blocks of commands of a page, in order."""
    for match in FENCE.finditer(text):
        if match["language"] in RUN:
            line = text.count("\n", 0, match.start("body")) + 1
            read = _console if match["language"] == "console" else _script
            yield Block(line, match["reason"] or "", tuple(read(match["body"], line)))


def unlabelled(text: str) -> list[int]:
    """Lines of blocks that look like commands and that no language says to be so."""
    found = [
        text.count("\n", 0, match.start("body")) + 1
        for match in FENCE.finditer(text)
        if match["language"] in SHELLS and LOOKS_LIKE_A_COMMAND.search(match["body"])
    ]
    prose = FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(prose.splitlines(), start=1):
        if line.startswith("    ") and LOOKS_LIKE_A_COMMAND.match(line):
            found.append(number)
    return found


def _console(body: str, line: int) -> Iterator[Command]:
    """Commands behind `$ `, with what follows each."""
    command: Command | None = None
    for number, text in enumerate(body.splitlines(), start=line):
        if command is not None and _goes_on(command.text):
            command.text += "\n" + text.removeprefix("> ")
        elif text.startswith("$ "):
            if command is not None:
                yield command
            command = Command(number, text[2:])
        elif command is not None and text.strip():
            command.expected.append(text)
    if command is not None:
        yield command


def _script(body: str, line: int) -> Iterator[Command]:
    """Each line a command, unless the one before goes on: a backslash, or an open quote or here-document."""
    gathered: list[str] = []
    for number, text in enumerate(body.splitlines(), start=line):
        gathered.append(text)
        whole = "\n".join(gathered)
        if not whole.strip() or (whole.lstrip().startswith("#") and len(gathered) == 1):
            gathered = []
        elif not _goes_on(whole):
            yield Command(number - len(gathered) + 1, _without_comment(whole))
            gathered = []
    if gathered:
        raise ValueError(f"line {line}: the block ends inside a command: {gathered[0]}")


def _goes_on(text: str) -> bool:
    opened = re.search(r"<<-?\s*'?(\w+)'?", text)
    if opened is not None:  # quotes inside a here-document mean nothing
        return re.search(rf"^{opened[1]}$", text, re.MULTILINE) is None
    return text.endswith("\\") or text.count("'") % 2 == 1 or text.replace('\\"', "").count('"') % 2 == 1


def _without_comment(text: str) -> str:
    return re.sub(r"\s+# [^\n'\"]*$", "", text)
