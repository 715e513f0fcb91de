"""What Docker would be given to build the image from: no more than the wheel needs, and all of that."""

import re
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from tests.harness.built_packages import build, copy_of_tree, names_in_wheel

ROOT = Path(__file__).parents[2]
LEFT_BEHIND = (
    ".git/config", ".venv/bin/python", "out/report.html", "tests/test_x.py", "keys.json",
    "src/steelyard/__pycache__/x.cpython-311.pyc", "src/steelyard/wire/sse.cpython-311-x86_64-linux-gnu.so",
)  # fmt: skip


def sent(path: str, patterns: list[str]) -> bool:
    """Whether a file is in the context: the last pattern that fits it, or a folder above it, decides."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    kept = True
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if any(fits(each, bare) for each in above):
            kept = pattern.startswith("!")
    return kept


def fits(path: str, pattern: str) -> bool:
    """As Docker has it: `*` stays within a folder, `**/` stands for any folders or none."""
    if pattern.startswith("**/"):
        return fnmatchcase(path.rsplit("/", 1)[-1], pattern.removeprefix("**/"))
    return (
        "/" not in path and fnmatchcase(path, pattern) if "/" not in pattern else fnmatchcase(path, pattern)
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The context, from a tree that was worked in."""
    tree, folder = copy_of_tree(tmp_path_factory.mktemp("tree")), tmp_path_factory.mktemp("context")
    for name in LEFT_BEHIND:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b"old")
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for path in tree.rglob("*"):
        name = str(path.relative_to(tree))
        if path.is_file() and sent(name, patterns):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, folder / name)
    return folder


def test_it_holds_no_leftovers_and_no_secrets(context: Path) -> None:
    names = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    assert not names & set(LEFT_BEHIND)
    assert {name.split("/")[0] for name in names} == {
        "pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "tools", "src",
    }  # fmt: skip
    assert sum((context / name).stat().st_size for name in names) < 4_000_000


def test_what_the_dockerfile_copies_makes_the_whole_wheel(context: Path, tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    source = tmp_path / "source"
    source.mkdir()
    copies = re.findall(r"^COPY (.*) (\S+)$", text, re.MULTILINE)
    assert copies
    for names, target in copies:
        for name in names.split():
            found, to = context / name, source / target
            shutil.copytree(found, to) if found.is_dir() else shutil.copy2(found, to / name)
    build(source, tmp_path / "dist", "wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    ours = {str(path.relative_to(context / "src")) for path in (context / "src").rglob("*") if path.is_file()}
    assert {name for name in names_in_wheel(wheel) if ".dist-info/" not in name} == ours
