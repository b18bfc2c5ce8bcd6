"""The explorer in a browser: a small server for one person on one machine."""

import json
import secrets
import socket
import webbrowser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dldna.checks import need
from dldna.explorer.messages import about, answer
from dldna.explorer.session import Explorer
from dldna.pages import explorer_document

HERE = "127.0.0.1"
LONGEST = 4096  # bytes of a message
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application(here: Explorer, token: str, port: int) -> Callable:
    """The ASGI application.

    Two things are answered, both under the token: the page at
    ``/TOKEN/``, and messages in JSON at ``/TOKEN/ask``. A request that
    lacks the token, or is for another host, or comes from another
    origin's page, gets 404 and no word.

    Args:
        here: the maps.
        token: a secret; who knows the address with it may ask.
        port: where the server listens; part of the host's name.
    """
    why = "the explorer in a browser"
    applications = need("starlette.applications", "explore", why)
    responses = need("starlette.responses", "explore", why)
    routing = need("starlette.routing", "explore", why)
    alone = _one_thread()  # one after the other, off the loop
    title = f"Loss landscape of {about(here)['model']}"

    async def page(request: Any) -> Any:
        data = {"about": about(here)}
        text = explorer_document(data, served=True, title=title)
        return responses.HTMLResponse(text, headers=HEADERS)

    async def ask(request: Any) -> Any:
        import asyncio

        kind = request.headers.get("content-type", "")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST:
                return responses.Response(status_code=404)
        if kind.partition(";")[0].strip() != "application/json":
            return responses.Response(status_code=404)
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            message = None
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(alone, answer, here, message)
        return responses.JSONResponse(found, headers=HEADERS)

    inner = applications.Starlette(
        routes=[
            routing.Route(f"/{token}/", page, methods=["GET"]),
            routing.Route(f"/{token}/ask", ask, methods=["POST"]),
        ]
    )
    inner.router.redirect_slashes = False
    nothing = responses.Response(status_code=404)
    hosts = {f"{HERE}:{port}", f"localhost:{port}"}

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        known = _known(scope, token, hosts)
        await (inner if known else nothing)(scope, receive, send)

    return guarded


def _one_thread() -> ThreadPoolExecutor:
    """A thread whose default device is this one's: torch keeps it apart."""
    import torch

    home = torch.get_default_device()
    if home.type == "cpu":
        return ThreadPoolExecutor(1)
    return ThreadPoolExecutor(
        1, initializer=torch.set_default_device, initargs=(home,)
    )


def _known(scope: Any, token: str, hosts: set[str]) -> bool:
    """Whether a request is this page's: its token, its host, its origin."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(
            value.decode("latin-1")
        )
    host, origin = headers.get("host", []), headers.get("origin", [])
    given = scope["path"].split("/")[1:2] or [""]
    # All is compared, so that the time taken says nothing.
    right = secrets.compare_digest(given[0].encode(), token.encode())
    own = len(host) == 1 and host[0] in hosts
    return right and own and all(o == f"http://{host[0]}" for o in origin)


def serve(here: Explorer, port: int = 0, browser: bool = True) -> None:
    """Answer a browser on this machine until Ctrl-C.

    Args:
        here: the maps.
        port: where to listen, on 127.0.0.1 alone; 0 for a free one.
        browser: open the page.

    Raises:
        ImportError: starlette or uvicorn are not installed.
        OSError: the port is taken.
    """
    uvicorn = need("uvicorn", "explore", "the explorer in a browser")
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HERE, port))
        listening.listen()  # so that a browser may come at once
        port, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        config = uvicorn.Config(
            application(here, token, port),
            log_level="warning",
            access_log=False,
            ws="none",
            server_header=False,
        )
        address = f"http://{HERE}:{port}/{token}/"
        print(f"The explorer: {address}\nCtrl-C ends it.", flush=True)
        if browser:
            webbrowser.open(address)
        uvicorn.Server(config).run(sockets=[listening])
