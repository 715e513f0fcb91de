"""The console: everything below /console on the admin port.

Reading is GET, doing is POST with the token that the page carries. The admin port has seen to Host, Origin
and the key before anything comes here.
"""

import asyncio
import sys
import traceback
from collections.abc import Callable, Collection
from typing import Any

from steelyard.config.console import ConsoleOptions
from steelyard.config.schema import Configuration
from steelyard.console import answers, templates
from steelyard.console.actions import perform
from steelyard.console.assets import assets
from steelyard.console.live import Live
from steelyard.console.overview import snapshot
from steelyard.console.page import PAGE_PATIENCE_S, Page, Query, fields_of
from steelyard.console.pages.registry import PAGES
from steelyard.console.planes import GatewayPlane, JobsPlane, Origins
from steelyard.console.watch import Watch
from steelyard.model.errors import BadRequest, SteelyardError
from steelyard.runtime.admin_door import COOKIE, SESSION_S
from steelyard.runtime.admin_exchange import AdminAnswer, AdminRequest, EventStream, cookie
from steelyard.version import __version__

ROOT = "/console"
THEME_COOKIE = b"steelyard_theme"
THEMES = (b"light", b"dark")
YEAR = b"public, max-age=31536000, immutable"


class Console:
    """One console over one gateway, and a jobs service where there is one."""

    def __init__(
        self,
        gateway: GatewayPlane,
        jobs: JobsPlane | None = None,
        options: ConsoleOptions | None = None,
        origins: Callable[[Configuration], Origins] = lambda _: Origins(),
        pages: Collection[str] = tuple(PAGES),
    ) -> None:
        """pages: which there are, the one that is shown first before the others."""
        options = options or ConsoleOptions()
        self._pages = {name: PAGES[name] for name in pages}
        self.watch = Watch(gateway, jobs, options.ttft_objective_s, origins)
        self.live = Live(self.watch, options.max_viewers)

    async def run(self) -> None:
        """Look at both planes for as long as the gateway serves."""
        await asyncio.to_thread(templates.warm_up)
        await self.watch.run()

    async def answer(self, request: AdminRequest) -> AdminAnswer:
        """Answer one request. Raises BadRequest for one that is no page's."""
        try:
            return await self._answer(request)
        except SteelyardError:
            raise
        except (
            Exception
        ) as error:  # a page of ours that breaks must not take the admin port's connection along
            traceback.print_exc(file=sys.stderr)
            raise BadRequest(
                f"this page broke ({type(error).__name__}); the gateway serves on, and its log says where",
                http_status=500,
            ) from error

    async def _answer(self, request: AdminRequest) -> AdminAnswer:
        path, method = request.path.removeprefix(ROOT).strip("/"), request.head.method
        if method in (b"GET", b"HEAD"):
            return await self._shown(path, request, method == b"HEAD")
        if method == b"POST":
            return await self._done(path, request)
        raise BadRequest(f"{method.decode('latin-1')} is of no use here", http_status=405)

    # --- reading -------------------------------------------------------------------------------

    async def _shown(self, path: str, request: AdminRequest, head_only: bool) -> AdminAnswer:
        if path.startswith("assets/"):
            return _asset(path.removeprefix("assets/"), request, head_only)
        if path == "login":
            return self._login_page(request, 200, "", head_only)
        if path == "api/overview":
            return answers.as_json(200, snapshot(self.watch), head_only=head_only)
        if path == "events" and not head_only:
            return self._stream(request)
        page = self._pages.get(path or next(iter(self._pages)))
        if page is None:
            names = ", ".join(f"/console/{name}" for name in self._pages)
            raise BadRequest(f"no page {request.path[:200]}: there are {names}", http_status=404)
        return answers.whole(200, (await self._page(page, request)).encode(), head_only=head_only)

    async def _page(self, page: Page, request: AdminRequest) -> str:
        query, shared = Query(request.query, PAGE_PATIENCE_S), self._shared(page, request)
        try:
            values = await page.context(self.watch, query)
            return templates.render(f"pages/{page.name}", {**shared, **values})
        except templates.NoTemplates as error:
            raise BadRequest(str(error), http_status=503) from None

    def _shared(self, page: Page | None, request: AdminRequest) -> dict[str, Any]:
        """What every page needs. The token is the viewer's own, so regions never hold it."""
        query = Query(request.query)
        theme = cookie(request.field(b"cookie"), THEME_COOKIE)
        return {
            "page": page,
            "pages": [each for each in self._pages.values() if each.listed],
            "query": query,
            "here": f"{ROOT}/{page.name}?{query.with_()}" if page is not None else ROOT,
            "theme": theme.decode() if theme in THEMES else "",
            "token": request.door.token(request.session),
            "can_log_out": bool(request.session),
            "version": __version__,
            "watch": self.watch,
        }

    def _stream(self, request: AdminRequest) -> AdminAnswer:
        query = Query(request.query)
        page = self._pages.get(query.text("page"))
        if page is None:
            raise BadRequest(f"no page {query.text('page')[:50]!r} that moves", http_status=404)
        if self.live.full:
            message = (
                f"{self.live.max_viewers} pages are kept up to date already: close one, "
                "or raise console.max_viewers"
            )
            return answers.whole(
                503, message.encode(), answers.TEXT, extra=b"Retry-After: 10\r\n" + answers.NO_STORE
            )
        query.values.pop("page")
        shared = self._shared(page, request) | {"query": query, "here": f"{ROOT}/{page.name}?{query.with_()}"}
        door, session = request.door, request.session
        events = self.live.events(page, query, shared, lambda: not session or door.knows(session))
        return EventStream(answers.stream_head(), events)

    # --- doing ---------------------------------------------------------------------------------

    async def _done(self, path: str, request: AdminRequest) -> bytes:
        fields = fields_of(request.body.decode("utf-8", "replace"))
        if path == "login":
            return await self._log_in(request, fields.get("key", ""))
        if not request.door.token_fits(request.session, fields.get("token", "")):
            raise BadRequest(
                "this form is older than the gateway, or not of this page: load the page again",
                http_status=403,
            )
        if path == "logout":
            request.door.end_session(request.session)
            return answers.redirect(f"{ROOT}/login", _cookie_line(b"", request, 0))
        if path.startswith("act/"):
            return await self._act(path.removeprefix("act/"), fields, request)
        raise BadRequest(f"nothing is done at {request.path[:200]}", http_status=404)

    async def _act(self, name: str, fields: dict[str, str], request: AdminRequest) -> bytes:
        try:
            said = await perform(self.watch, name, fields, request.who)
        except BadRequest:
            raise
        except SteelyardError as error:
            raise BadRequest(str(error), http_status=error.http_status) from None
        self.watch.changed()
        if b"application/json" in request.field(b"accept"):
            return answers.as_json(200, {"said": said})
        back = fields.get("back", ROOT)
        ours = back == ROOT or back.startswith((f"{ROOT}/", f"{ROOT}?"))
        return answers.redirect(back if ours and back.isascii() and back.isprintable() else ROOT)

    async def _log_in(self, request: AdminRequest, key: str) -> bytes:
        if not request.door.fits(key.strip().encode()):
            return self._login_page(request, 403, "That is not the key of this admin port.")
        await self.watch.gateway.recorded(request.who, "console: log in", _nothing)
        return answers.redirect(ROOT, _cookie_line(request.door.begin_session(), request, int(SESSION_S)))

    def _login_page(self, request: AdminRequest, status: int, problem: str, head_only: bool = False) -> bytes:
        try:
            text = templates.render("pages/login", {**self._shared(None, request), "problem": problem})
        except templates.NoTemplates as error:
            raise BadRequest(str(error), http_status=503) from None
        return answers.whole(status, text.encode(), head_only=head_only)


async def _nothing() -> None:
    """What is left to do once it was recorded."""


def _cookie_line(value: bytes, request: AdminRequest, age_s: int) -> bytes:
    secure = b"; Secure" if request.secure else b""
    return b"Set-Cookie: %b=%b; Path=/console; Max-Age=%d; HttpOnly; SameSite=Strict%b\r\n" % (
        COOKIE,
        value,
        age_s,
        secure,
    )


def _asset(name: str, request: AdminRequest, head_only: bool) -> bytes:
    found = assets().get(name)
    if found is None:
        raise BadRequest(f"no file {name[:100]!r}", http_status=404)
    kept = YEAR if Query(request.query).text("v") == found.version else b"no-cache"
    extra = b"ETag: %b\r\nCache-Control: %b\r\n" % (found.etag, kept)
    if found.etag in request.field(b"if-none-match"):
        return answers.unchanged(extra)
    return answers.whole(200, found.body, found.content_type, extra=extra, head_only=head_only)
