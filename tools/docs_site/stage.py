"""The pages of the site, gathered: what is written in `docs/`, what lies elsewhere, what is generated.

Links between pages go on pointing at each other where the pages come to lie. A link to a file of the
repository that is no page becomes its name, since a site that is read offline has no such file; a link to
nothing is a finding.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.docs_site import cli_page, metrics_page, policies_page

# Pages of the repository that lie outside docs/, and where they come to lie on the site.
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "examples/README.md": "examples/index.md",
}
GENERATED: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page.page,
    "reference/metrics.md": metrics_page.page,
    "reference/policies.md": policies_page.page,
}
LINK = re.compile(r"(?<!!)\[(?P<label>(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?P<target>[^()\s]+)\)")
PICTURE = re.compile(r"!\[(?P<label>[^\]]*)\]\((?P<target>[^()\s]+)\)")
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//")
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def sources(root: Path) -> dict[str, str]:
    """Written pages: path in the repository to path on the site."""
    found = {
        str(path.relative_to(root)): str(path.relative_to(root / "docs")) for path in _files(root / "docs")
    }
    found |= {name: page for name, page in ELSEWHERE.items() if (root / name).exists()}
    results = sorted((root / "benchmarks" / "results").glob("*.md"))
    found |= {str(path.relative_to(root)): f"benchmarks/{path.name}" for path in results}
    examples = sorted((root / "examples").glob("*/README.md"))
    return found | {str(path.relative_to(root)): f"examples/{path.parent.name}.md" for path in examples}


def stage(root: Path, folder: Path) -> list[str]:
    """Write all pages into `folder`, which is emptied before; links that lead nowhere, one sentence each."""
    shutil.rmtree(folder, ignore_errors=True)
    places = sources(root)
    findings: list[str] = []
    for source, page in places.items():
        place = folder / page
        place.parent.mkdir(parents=True, exist_ok=True)
        if not source.endswith(".md"):
            shutil.copyfile(root / source, place)
            continue
        text = (root / source).read_text(encoding="utf-8")
        place.write_text(_relinked(text, source, places, root, findings), encoding="utf-8")
    made = {page: make() for page, make in GENERATED.items()} | {"decisions/index.md": decisions(root)}
    for page, text in made.items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(text, encoding="utf-8")
    return findings


def decisions(root: Path) -> str:
    """A list of all decisions."""
    lines = ["# Decisions\n", "One page each: what was chosen, what was rejected, and why.\n"]
    for path in sorted((root / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def dead_links(root: Path, source: str) -> list[str]:
    """Links of one file of the repository that lead nowhere, one sentence each."""
    findings: list[str] = []
    text = (root / source).read_text(encoding="utf-8")
    _relinked(text, source, sources(root), root, findings)
    return findings


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _relinked(text: str, source: str, places: dict[str, str], root: Path, findings: list[str]) -> str:
    """The text with its links made right for the site."""

    def place(match: re.Match[str]) -> str:
        label, target = match["label"], match["target"]
        if PICTURE.search(label):
            label = PICTURE.sub(place, label)
        if OUTSIDE.match(target):
            return f"[{label}]({target})" if match[0][0] != "!" else match[0]
        path, mark, anchor = target.partition("#")
        wanted = os.path.normpath(os.path.join(os.path.dirname(source), path))
        page = places.get(wanted) or (wanted.removeprefix("docs/") if _is_generated(wanted) else None)
        if page is not None:
            start = os.path.dirname(places.get(source, source))
            way = os.path.relpath(page, start or ".")
            return f"{'!' if match[0][0] == '!' else ''}[{label}]({way}{mark}{anchor})"
        if not (root / wanted).exists():
            findings.append(
                f"{source}: the link to {target} leads nowhere: write the path from this file's folder"
            )
        return label if label.strip("`") == wanted else f"{label} (`{wanted}`)"

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(place, PICTURE.sub(place, part)) for part in parts[::2]]
    return "".join(parts)


def _is_generated(path: str) -> bool:
    return path.removeprefix("docs/") in {*GENERATED, "decisions/index.md"}
