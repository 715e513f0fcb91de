"""Wheel and sdist, built from a copy of the tree, since a build takes away what is compiled beside it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD_TIMEOUT_S = 600


def copy_of_tree(folder: Path) -> Path:
    """What git knows of the working tree, as a clone would have it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("the tree is no git checkout")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def build(tree: Path, out: Path, *targets: str, compiled: bool = False, path: str | None = None) -> str:
    """Build the `targets` ("wheel", "sdist") of a tree into `out`; what the build said."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("STEELYARD_COMPILE", "PYTHONPATH")
    }
    environment = kept if compiled else kept | {"STEELYARD_COMPILE": "0"}
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    for target in targets:
        command += ["-t", target]
    result = subprocess.run(
        command,
        cwd=tree,
        env=environment | ({"PATH": path} if path is not None else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def names_in_wheel(wheel: Path) -> set[str]:
    """Paths of its files."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def names_in_sdist(sdist: Path) -> set[str]:
    """Paths of its files below its one folder."""
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


def fresh_environment(folder: Path, wheel: Path) -> Path:
    """A virtual environment with the wheel, and with the dependencies that these tests have; its bin folder.

    Without network: the dependencies are those of the running interpreter. Its editable steelyard is not
    seen, since path files are read in an environment's own folder alone.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    site = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = ["--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", *command, str(wheel)], check=True, timeout=60)
    return folder / "bin"
