"""Look at the built site as a browser would: every link, every anchor, nothing fetched from elsewhere."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches by itself; a link that a reader may follow is no such thing.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
FETCHED_RELATIONS = {
    "stylesheet",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "icon",
    "modulepreload",
}


class Page(HTMLParser):
    """What one page names and what it asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names, links to or fetches."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "link" and FETCHED_RELATIONS & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))
        if values.get(FETCHED.get(tag, "")):
            self.fetched.append(values[FETCHED[tag]])


def findings(site: Path) -> list[str]:
    """One sentence for each link that leads nowhere and each thing that is fetched from another server."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    return [finding for path, page in pages.items() for finding in _of_page(site, path, page, pages)]


def _of_page(site: Path, path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    name = path.relative_to(site)
    for address in page.fetched:
        if urlsplit(address).netloc:
            yield f"{name}: a browser would fetch {address} from another server: keep a copy in docs/"
    # The page for what is not found is served under any path, so its links start at the root.
    for link in [] if path.name == "404.html" else [*page.links, *page.fetched]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_relative_to(site.resolve()) or not target.exists():
            yield f"{name}: the link {link} leads nowhere"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"{name}: the link {link} names an anchor that its page does not have"
