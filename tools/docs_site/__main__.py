"""Build the documentation site: `python -m tools.docs_site [--folder FOLDER]`. Exit code 1 on any finding."""

import argparse
import subprocess
import sys
from pathlib import Path

from tools.docs_site.check import findings
from tools.docs_site.stage import dead_links, stage

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "mkdocs.yml"
BUILD_TIMEOUT_S = 120.0


def build(folder: Path) -> list[str]:
    """Stage the pages in `folder`/pages, build `folder`/site, check it; one sentence for what is amiss."""
    pages, site = folder / "pages", folder / "site"
    amiss = stage(ROOT, pages) + dead_links(ROOT, "README.md")
    text = CONFIGURATION.read_text(encoding="utf-8")
    made = folder / "mkdocs.yml"  # the site must lie below it
    text = with_all(text, [str(path.relative_to(pages)) for path in sorted(pages.rglob("*.md"))])
    made.write_text(f"{text}\ndocs_dir: pages\nsite_dir: site\n", encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(made)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
    if result.returncode != 0:
        said = (result.stdout + result.stderr).splitlines()
        return amiss + [f"zensical: {line}" for line in said if line.strip()]
    return amiss + findings(site)


def with_all(configuration: str, names: list[str]) -> str:
    """The configuration, its navigation led to every page: what it leaves out comes last, below *More*.

    Single decisions are listed on a page of their own.
    """
    left_out = [name for name in names if f" {name}\n" not in configuration and "decisions/0" not in name]
    more = "".join(f"      - {name}\n" for name in left_out)
    return configuration.rstrip() + (f"\n  - More:\n{more}" if more else "\n")


def main() -> int:
    """Build it; say where it is."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs_site", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "out" / "docs", help="where pages and site go")
    folder = parser.parse_args().folder.absolute()
    amiss = build(folder)
    site = folder / "site"
    print(
        "\n".join(amiss) or f"site: {len([*site.rglob('*.html')])} pages in {site}, all links lead somewhere"
    )
    return 1 if amiss else 0


if __name__ == "__main__":
    sys.exit(main())
