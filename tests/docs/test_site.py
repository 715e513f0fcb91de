"""The site builds, its links lead somewhere, nothing comes from elsewhere, its references are whole."""

from pathlib import Path

import pytest
from tools.docs_site import check, cli_page, metrics_page, policies_page
from tools.docs_site.stage import dead_links, stage

from steelyard.cli.main import VERBS
from steelyard.policies.routing.registry import DEFAULT_POLICY

ROOT = Path(__file__).parents[2]


def test_the_site_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="zensical is not installed (pip install 'steelyard[docs]')")
    from tools.docs_site.__main__ import build

    assert build(tmp_path) == []
    site = tmp_path / "site"
    assert {"index.html", "tutorial.html", "reference", "how-to"} <= {each.name for each in site.iterdir()}
    assert "<svg" in (site / "diagrams" / "planes.svg").read_text(encoding="utf-8")


def test_the_navigation_leads_to_every_page() -> None:
    from tools.docs_site.__main__ import with_all

    names = ["a.md", "b.md", "decisions/0001-x.md"]
    assert with_all("nav:\n  - a.md\n", names) == "nav:\n  - a.md\n  - More:\n      - b.md\n"
    assert with_all("nav:\n  - a.md\n  - b.md\n", names) == "nav:\n  - a.md\n  - b.md\n"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(name: str) -> None:
    assert dead_links(ROOT, name) == []


def test_dead_links_are_told(tmp_path: Path) -> None:
    (tmp_path / "docs" / "decisions").mkdir(parents=True)
    page = tmp_path / "docs" / "page.md"
    page.write_text("[a](b.md) ![c](d.png) [e](https://f) [g](#h) `[i](j.md)` [tools](../tools)\n")
    (tmp_path / "tools").mkdir()
    findings = dead_links(tmp_path, "docs/page.md")
    assert [finding.split()[4] for finding in findings] == ["d.png", "b.md"]


def test_a_link_to_a_file_that_is_no_page_becomes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs" / "decisions").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "docs" / "page.md").write_text("see [the code](../src) and [us](other.md#x)\n")
    (tmp_path / "docs" / "other.md").write_text("# Us\n")
    monkeypatch.setattr("tools.docs_site.stage.GENERATED", {})
    assert stage(tmp_path, tmp_path / "pages") == []
    text = (tmp_path / "pages" / "page.md").read_text(encoding="utf-8")
    assert text == "see the code (`src`) and [us](other.md#x)\n"


def test_the_built_pages_are_read_as_a_browser_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="b.html#gone">x</a><a href="c.html">x</a>'
        '<a href="https://example.org/">x</a><script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">y</h1>')
    assert [finding.partition(": ")[2] for finding in check.findings(tmp_path)] == [
        "a browser would fetch https://example.org/x.js from another server: keep a copy in docs/",
        "the link b.html#gone names an anchor that its page does not have",
        "the link c.html leads nowhere",
    ]


def test_the_reference_of_the_command_line_has_every_verb_and_option() -> None:
    page = cli_page.page()
    assert all(f"## steelyard {verb}\n" in page for verb in VERBS)
    assert "### steelyard keys add\n" in page
    assert "| `--emulated` `N` | `0` |" in page


def test_the_reference_of_the_policies_has_the_default() -> None:
    assert f"| `{DEFAULT_POLICY}` (default) |" in policies_page.page()


def test_the_reference_of_the_metrics_is_what_a_gateway_exposes() -> None:
    text = '# HELP a_total Of a|b.\n# TYPE a_total counter\na_total{x="1"} 2\n'
    text += '# HELP h Seconds.\n# TYPE h histogram\nh_bucket{pool="p",le="1"} 2\n'
    first, second = metrics_page.families(text)
    assert (first.name, first.kind, first.labels, first.text) == ("a_total", "counter", ["x"], r"Of a\|b.")
    assert (second.name, second.labels) == ("h", ["pool"])
