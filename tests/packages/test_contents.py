"""What wheel and sdist hold, and that the sdist makes the same wheel."""

import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.harness.built_packages import build, copy_of_tree, names_in_sdist, names_in_wheel

MOST_SDIST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist, built from a tree with leftovers of an earlier compilation."""
    tree = copy_of_tree(tmp_path_factory.mktemp("tree"))
    (tree / "src" / "steelyard" / "wire" / "sse.cpython-311-x86_64-linux-gnu.so").write_bytes(b"old")
    (tree / "src" / "steelyard__mypyc.cpython-311-x86_64-linux-gnu.so").write_bytes(b"old")
    out = tmp_path_factory.mktemp("dist")
    build(tree, out, "sdist", "wheel")
    return out


def the_one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    wheel = the_one(built, "*.whl")
    names = names_in_wheel(wheel)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"steelyard"}
    assert "steelyard/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [
        name for name in names if name.endswith((".so", ".pyc", ".c")) or "test" in name.split("/")[1:2]
    ]


def test_the_wheel_names_its_command_and_what_it_needs(built: Path) -> None:
    with zipfile.ZipFile(the_one(built, "*.whl")) as archive:
        texts = {name.rsplit("/", 1)[1]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(texts["METADATA"]).decode()
        assert "steelyard = steelyard.cli.main:main" in archive.read(texts["entry_points.txt"]).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    core = [
        line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line
    ]
    assert len(core) <= 8, core


def test_the_sdist_holds_what_a_build_needs_and_no_leftovers(built: Path) -> None:
    sdist = the_one(built, "*.tar.gz")
    names = names_in_sdist(sdist)
    assert {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "hatch_build.py",
        "tools/compile_data_plane.py",
    } <= names
    tops = {name.split("/")[0] for name in names}
    assert not tops & {"tests", "docs", "benchmarks", "deploy", "build", "out", ".venv", ".ci"}
    assert not [name for name in names if name.endswith((".so", ".pyc"))]
    assert sdist.stat().st_size < MOST_SDIST_BYTES


def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    with tarfile.open(the_one(built, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    build(tree, tmp_path / "dist", "wheel")
    assert names_in_wheel(the_one(tmp_path / "dist", "*.whl")) == names_in_wheel(the_one(built, "*.whl"))
