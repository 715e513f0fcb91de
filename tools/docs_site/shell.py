"""Type a page's commands: `python -m tools.docs_site.shell PAGE.md …`.

Every page has one shell, one empty home and one empty folder in which `examples` and `deploy` lie, and, where
Linux allows it (`unshare`), processes and a network of its own with nothing but a loopback: so all ports are
free, and commands run just as they stand. A command that goes on in the background is waited for until it
has said something, and what its page shows.
"""

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tools.docs_site.blocks import Command, blocks

ROOT = Path(__file__).resolve().parents[2]
LENT = ("examples", "deploy")
APART = ("--net", "--pid", "--fork", "--kill-child", "--mount-proc")
COMMAND_TIMEOUT_S = 60.0
# Bring the loopback up without needing iproute2, then become the shell.
LOOPBACK_UP = (
    "import fcntl, os, socket, struct, sys\n"
    "with socket.socket() as one: fcntl.ioctl(one, 0x8914, struct.pack('16sh14x', b'lo', 1))\n"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class CommandFailed(Exception):
    """A command of a page did not do what the page says; names page, line, command and output."""


@functools.cache
def apart() -> tuple[str, ...]:
    """How to start a program with a network and processes of its own; empty where that is not allowed."""
    for rights in ((), ("--map-root-user",)):
        way = ("unshare", *rights, *APART, sys.executable, "-c", LOOPBACK_UP)
        with contextlib.suppress(OSError):
            if subprocess.run([*way, "true"], capture_output=True, check=False, timeout=10).returncode == 0:
                return way
    return ()


def run_page(page: Path) -> tuple[int, list[str]]:
    """Run a page's commands; how many, and why others were not. Raises CommandFailed."""
    todo = list(blocks(page.read_text(encoding="utf-8")))
    skipped = [f"{page.name}:{block.line}: {block.reason}" for block in todo if block.reason]
    commands = [command for block in todo if not block.reason for command in block.commands]
    if commands:
        with (
            tempfile.TemporaryDirectory(prefix="steelyard-page-", ignore_cleanup_errors=True) as name,
            contextlib.closing(_Shell(Path(name), page.name)) as shell,
        ):
            for command in commands:
                shell.type(command)
    return len(commands), skipped


class _Shell:
    """One bash; everything that it started ends with it."""

    def __init__(self, folder: Path, page: str) -> None:
        self._page, self._folder, self._background = page, folder, 0
        home, work = folder / "home", folder / "work"
        home.mkdir()
        work.mkdir()
        for lent in LENT:
            (work / lent).symlink_to(ROOT / lent)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("STEELYARD", "PYTEST"))
        }
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self._process = subprocess.Popen(
            [*apart(), "bash", "--norc"],
            cwd=work,
            env=kept
            | {"HOME": str(home), "PATH": path, "NO_COLOR": "1", "COLUMNS": "110", "TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, command: Command) -> None:
        """Run a command to its end, in the background until it says what it should. Raises CommandFailed."""
        if command.in_background:
            self._start(command)
            return
        code, output = self._ask(f"{{ {command.text}\n}} 2>&1 </dev/null")
        if code != 0:
            raise self._failure(command, f"it ended with {code}", output)
        missing = not_seen(command.expected, output)
        if missing is not None:
            raise self._failure(command, f"it did not say {missing!r}", output)

    def _start(self, command: Command) -> None:
        self._background += 1
        said = self._folder / f"background-{self._background}"
        # Before the command, so that a redirection of its own wins.
        self._ask(f">{said} 2>&1 </dev/null {command.text}")
        deadline_s = time.monotonic() + COMMAND_TIMEOUT_S
        while True:
            output = said.read_text(encoding="utf-8") if said.exists() else ""
            missing = not_seen(command.expected, output)
            if missing is None and (output or " > " in command.text):
                return
            if time.monotonic() > deadline_s:
                raise self._failure(command, f"it did not say {missing or 'anything'!r}", output)
            time.sleep(0.05)

    def _ask(self, text: str) -> tuple[int, str]:
        """Its exit code and what it wrote."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watch = threading.Timer(COMMAND_TIMEOUT_S, self._kill)
        watch.start()
        try:
            self._process.stdin.write(f'{text}\necho "@@ended $?"\n')
            self._process.stdin.flush()
            output = ""
            for line in self._process.stdout:
                before, ended, code = line.partition("@@ended ")
                output += before
                if ended:
                    return int(code), output
        finally:
            watch.cancel()
        return 124, output + f"(gave up after {COMMAND_TIMEOUT_S:.0f} s, or the shell ended)"

    def _failure(self, command: Command, what: str, output: str) -> CommandFailed:
        return CommandFailed(f"{self._page}:{command.line}: {what}\n$ {command.text}\n{output}")

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End everything that runs below the folder: services that detached themselves, too."""
        self._kill()
        for path in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if path.resolve().is_relative_to(self._folder):
                    os.kill(int(path.parent.name), signal.SIGKILL)
        self._process.communicate()
        shutil.rmtree(self._folder / "home", ignore_errors=True)


def not_seen(expected: list[str], output: str) -> str | None:
    """The first expected line that the output lacks, in order; `…` stands for anything."""
    lines = iter(output.splitlines())
    for wanted in expected:
        pattern = r".*".join(re.escape(part) for part in wanted.strip().split("…"))
        if not any(re.fullmatch(r"\s*" + pattern + r"\s*", line) for line in lines):
            return wanted
    return None


def main(pages: list[str]) -> int:
    """Run pages and say how it went."""
    for page in map(Path, pages):
        began_s = time.monotonic()
        try:
            count, skipped = run_page(page)
        except CommandFailed as failure:
            print(failure)
            return 1
        print(f"{page}: {count} commands in {time.monotonic() - began_s:.1f} s", *skipped, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
