"""The ground of every page: who may ask, the files that ship with Jido, and the server.

URLs in pages are relative, so that a page works at the root of a port and behind a proxy with a prefix
(JupyterHub) alike. Nobody but this machine is answered unless a token stands in the link.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import ipaddress
import logging
import mimetypes
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from jido.errors import JidoError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 1 << 18
"""Bytes of a request; pages send answers to questions, never files."""

URL_LIMIT = 2048
"""Bytes of a path with its query."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""On every answer. ``frame-ancestors 'self'`` lets a notebook on the same server frame a page."""

TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".webmanifest": "application/json"}
"""What tables of operating systems get wrong."""


def site(routes: Sequence[BaseRoute], *, token: str | None = None, own_tokens: bool = False) -> Starlette:
    """An application: the routes, the vendored files under ``static/``, and the guard before both.

    Args:
        routes: of the pages; :func:`page` gives one that shows a vendored HTML file.
        token: what a browser must bring, in the link or as the cookie that the link has set.
        own_tokens: the routes ask for tokens of their own, so the guard asks for none and takes any
            ``Host``; only for routes of which none answers without one.
    """
    app = Starlette(
        routes=[*routes, Route("/static/{name}", _static)],
        middleware=[
            Middleware(Guard, token=token, any_host=own_tokens),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=6),
        ],
        exception_handlers={HTTPException: _refused, JidoError: _refused},
    )
    app.router.redirect_slashes = False  # it would name the host, which a proxy has changed
    app.state.token = token
    app.state.guarded = bool(token) or own_tokens
    return app


def page(name: str) -> Callable[[Request], Response]:
    """The endpoint of a page that is a vendored HTML file."""

    def show(request: Request) -> Response:
        return vendored(request, name)

    return show


def vendored(request: Request, name: str) -> Response:
    """A file that ships with Jido, packed when the browser takes that, asked for anew when it changed."""
    if name not in _names():
        raise HTTPException(404, f"There is no file {name!r} here.")
    plain, packed, tag = _vendored_bytes(name)
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    kind = TYPES.get(name[name.rfind(".") :]) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
    return Response(plain, media_type=kind, headers=headers)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """All that may be asked for: names are looked up, never joined to a path."""
    return frozenset(file.name for file in resources.files("jido.web").joinpath("static").iterdir())


@lru_cache(maxsize=64)
def _vendored_bytes(name: str) -> tuple[bytes, bytes, str]:
    data = resources.files("jido.web").joinpath("static", name).read_bytes()
    return data, gzip.compress(data, 9, mtime=0), f'"{hashlib.sha256(data).hexdigest()[:16]}"'


def _static(request: Request) -> Response:
    return vendored(request, request.path_params["name"])


def _refused(request: Request, err: Exception) -> Response:
    if isinstance(err, HTTPException):
        return _error(err.status_code, err.detail)
    return _error(400, str(err))


def _error(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence or HTTPStatus(status).phrase}, status_code=status)


class Guard:
    """Stands before the routes: host, token, size and origin of a request; headers of every answer.

    Without a token only names of this machine are taken as ``Host``: a page of the internet whose name is
    made to point here (DNS rebinding) cannot read it. With a token such a page fails for want of the token.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, any_host: bool) -> None:
        self.app = app
        self.token = token
        self.any_host = any_host or token is not None
        # a cookie is sent to every port of a host: its name tells two servers apart
        self.cookie = f"jido_{hashlib.sha256((token or '').encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def headed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope)
        try:
            answer = self._turned_away(request) or self._let_in(request) or self.app
            await answer(scope, _bounded(receive), headed)
        except Exception:
            logging.getLogger("jido").exception("A page failed at %s.", request.url.path)
            if started:
                raise
            await _error(500, "Jido failed here: its terminal says why.")(scope, receive, headed)

    def _turned_away(self, request: Request) -> Response | None:
        """An answer to what is no business of ours."""
        if not self.any_host and not is_loopback(_host_name(request.headers.get("host", ""))):
            return _error(403, "This page is for this machine only: ask for it at 127.0.0.1 or localhost.")
        if len(request.scope.get("raw_path") or b"") + len(request.scope["query_string"]) > URL_LIMIT:
            return _error(414, f"An address here has at most {URL_LIMIT} bytes.")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            return _error(413, f"A request here has at most {BODY_LIMIT} bytes.")
        if request.method not in ("GET", "HEAD") and not _same_origin(request):
            return _error(403, "Another page sent this: only Jido's own pages may change something.")
        return None

    def _let_in(self, request: Request) -> Response | None:
        """An answer to who brings the token in the link, or none at all."""
        if self.token is None:
            return None
        if same_secret(request.query_params.get("token", ""), self.token):
            if request.url.path != "/":
                return None
            answer = RedirectResponse("./", status_code=303)  # relative: a proxy may stand before us
            answer.set_cookie(self.cookie, self.token, path=None, httponly=True, samesite="lax")
            return answer
        if same_secret(request.cookies.get(self.cookie, ""), self.token):
            return None
        return _error(403, "The token is missing or wrong: open the link that the terminal shows.")


def same_secret(given: str, wanted: str) -> bool:
    """Whether two tokens are the same, in a time that does not tell how far."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _host_name(host: str) -> str:
    """``localhost:8000`` -> ``localhost``, ``[::1]:8000`` -> ``::1``."""
    if host.startswith("["):
        return host[1:].split("]", maxsplit=1)[0]
    return host.rsplit(":", 1)[0].lower()


def _same_origin(request: Request) -> bool:
    """Whether a browser says that one of our pages sent it; programs say nothing and have no cookies."""
    site_ = request.headers.get("sec-fetch-site")
    if site_ is not None:
        return site_ in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.split("://")[-1] == request.headers.get("host")


def _bounded(receive: Receive) -> Receive:
    """The same body, refused when more comes than was announced."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_LIMIT:
            raise HTTPException(413, f"A request here has at most {BODY_LIMIT} bytes.")
        return message

    return counted


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def token_for(host: str, given: str | None) -> str | None:
    """The token that pages at an address need: the given one; elsewhere than on loopback a new one."""
    if given is not None and not 8 <= len(given) <= 200:
        raise JidoError("A token has 8 to 200 characters: give a longer --token, or none to have one made.")
    return given or (None if is_loopback(host) else secrets.token_urlsafe(24))


def run(
    app: Starlette, *, host: str = "127.0.0.1", port: int = 0, announce: Callable[[str], None] = print
) -> None:
    """Serve until Ctrl-C, then return.

    Args:
        app: made by :func:`site`.
        host: address of this machine to listen at.
        port: 0 takes a free one.
        announce: is told the link, with the token of :func:`site`, once the port answers.

    Raises:
        JidoError: when the port is taken, the address is not of this machine, or others could ask and
            nothing guards the pages.
    """
    if not (is_loopback(host) or app.state.guarded):
        raise JidoError(f"{host} is open to other machines: pages there need a token.")
    with listening(host, port) as sock:
        link = address(host, sock.getsockname()[1])
        announce(f"{link}?token={app.state.token}" if app.state.token else link)
        sys.stdout.flush()  # whoever started us in a pipe waits for this line
        with suppress(SystemExit, KeyboardInterrupt):  # uvicorn closes down, then raises the signal again
            server(app).run(sockets=[sock])


def server(app: ASGIApp) -> uvicorn.Server:
    """One process that says nothing but errors; idle connections are closed after some seconds."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
    )


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections at an address.

    Raises:
        JidoError: when it is taken or not of this machine.
    """
    try:
        family, kind, number, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, number)
    except (OSError, OverflowError) as err:
        raise JidoError(f"{host}:{port} is no address of this machine ({err}): choose another.") from err
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.listen(256)
    except OSError as err:
        sock.close()
        raise JidoError(
            f"{host}:{port} cannot be used ({err.strerror}): give another --port, or none for a free one."
        ) from err
    return sock


def address(host: str, port: int) -> str:
    """``http://127.0.0.1:8000/``; all addresses at once are named by the machine's name."""
    with suppress(ValueError):
        ip = ipaddress.ip_address(host)
        host = socket.gethostname() if ip.is_unspecified else f"[{ip}]" if ip.version == 6 else host
    return f"http://{host}:{port}/"
