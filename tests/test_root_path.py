"""Below a path behind a proxy the page, its assets, its API and its events work."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Browser, expect
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from experiments.core.paths import ROOT
from serve.web.server import PageServer
from tests.conftest import free_port, page_in_thread

PREFIX = "/nets/digits"
SEVEN = ROOT / "serve" / "tabs" / "digit" / "examples" / "7.png"


@contextmanager
def reverse_proxy(page: str, passes_prefix: bool) -> Iterator[str]:
    """Show the page below PREFIX at another port, and nothing elsewhere; yield the address."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
        async with httpx.AsyncClient(base_url=page, timeout=60) as client:
            yield {"client": client}

    async def forward(request: Request) -> Response:
        address = str(request.url).partition(PREFIX)[2]
        client: httpx.AsyncClient = request.state.client
        sent = client.build_request(
            request.method,
            f"{PREFIX}{address}" if passes_prefix else address,
            headers=request.headers.raw,
            content=request.stream() if request.method == "POST" else None,
        )
        answer = await client.send(sent, stream=True)
        passed = StreamingResponse(answer.aiter_raw(), answer.status_code)
        passed.raw_headers = answer.headers.raw
        passed.background = BackgroundTask(answer.aclose)
        return passed

    route = Route(PREFIX + "{rest:path}", forward, methods=["GET", "HEAD", "POST"])
    server = PageServer(
        Starlette(routes=[route], lifespan=lifespan), "127.0.0.1", port := free_port()
    )
    try:
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        server.close()


@pytest.fixture(scope="module")
def page(trained: Path) -> Iterator[str]:
    with page_in_thread(trained, root_path=PREFIX) as address:
        yield address


@pytest.fixture(params=[True, False], ids=["passed on", "removed"])
def proxied(page: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The page's address behind a proxy that passes the path on, or removes it."""
    with reverse_proxy(page, request.param) as address:
        yield address


def test_assets_and_endpoints_lie_below_the_path(proxied: str) -> None:
    with httpx.Client(timeout=60, follow_redirects=True) as client:
        html = client.get(f"{proxied}/")
        links = re.findall(r'(?:src|href)="(?!data:)([^"#]+)"', html.text)
        assert html.status_code == 200 and len(links) > 3
        for link in {*links} - {"/manifest.json"}:  # of an app to install, which it is not
            answer = client.get(html.url.join(link))
            assert answer.status_code == 200, (link, answer.url)
            assert str(answer.url).startswith(f"{proxied}/")
        assert client.get(f"{proxied}/config").json()["root"] == proxied
        assert client.get(f"{proxied}/healthz").json()["status"] == "ok"


def test_the_path_without_a_slash_leads_to_the_page(page: str) -> None:
    with httpx.Client(base_url=page, follow_redirects=True) as client:
        assert client.get(PREFIX).url.path == f"{PREFIX}/"


def test_clients_of_the_api_work(proxied: str) -> None:
    client = Client(f"{proxied}/", verbose=False)
    try:
        assert client.predict(handle_file(SEVEN), api_name="/classify_digit")["label"] == "7"
    finally:
        client.close()


@pytest.mark.browser
def test_a_browser_shows_the_page(proxied: str, browser: Browser) -> None:
    context = browser.new_context()
    tab = context.new_page()
    addresses: list[str] = []
    problems: list[object] = []
    tab.on("request", lambda request: addresses.append(request.url))
    tab.on("pageerror", lambda error: problems.append(error))
    tab.goto(f"{proxied}/")
    tab.get_by_role("tab", name="Gate").click()
    status = tab.locator("#gate-playground [data-status]")
    expect(status).to_have_attribute("data-messages", "served", timeout=60_000)
    context.close()
    assert problems == []
    assert all(url.startswith((f"{proxied}/", "blob:", "data:")) for url in addresses), addresses
