"""A page with the extension's panels, its routes and its scripts, served like Forge's."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mobilesd_forge.asgi import PREFIX
from mobilesd_forge.service import Service

__all__ = ["ForgePage", "forge_page"]

JAVASCRIPT = Path(__file__).resolve().parents[3] / "extensions" / "forge" / "javascript"
SCRIPTS = sorted(file.name for file in JAVASCRIPT.glob("mobilesd*.js"))
# Colours as Gradio's default theme has them.
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Forge</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ --body-text-color: #1f2937; --border-color-primary: #e5e7eb; --link-text-color: #c2410c;
  --button-secondary-background-fill: #e5e7eb; --button-secondary-background-fill-hover: #d1d5db;
  --button-secondary-text-color: #374151; --input-background-fill: #fff;
  margin: 12px; background: #fff; color: var(--body-text-color);
  font: 16px/1.5 system-ui, sans-serif; }}
body.dark {{ --body-text-color: #f3f4f6; --border-color-primary: #374151;
  --link-text-color: #fdba74;
  --button-secondary-background-fill: #4b5563; --button-secondary-background-fill-hover: #6b7280;
  --button-secondary-text-color: #fff; --input-background-fill: #374151; background: #0b0f19; }}
summary {{ min-height: 44px; }}
</style></head><body class="{theme}">
<details id="accordion" open><summary>MobileSD: jobs</summary>
<div class="mobilesd-jobs" data-token="{token}" data-tab="txt2img"></div></details>
<div class="mobilesd-box"><div id="mobilesd_txt2img_status"></div></div>
<div class="mobilesd-key" data-token="{token}"></div>
<div class="mobilesd-test" data-token="{token}"></div>
<div style="display: none"><label id="mobilesd_paste_txt2img">infotext<textarea></textarea></label>
<button id="mobilesd_paste_txt2img_button">Send to the page</button></div>
<output id="pasted"></output>
<script>
document.querySelector("#mobilesd_paste_txt2img textarea").addEventListener("input", (event) => {{
  requestAnimationFrame(() => {{ window.taken = event.target.value; }});
}});
document.querySelector("#mobilesd_paste_txt2img_button").addEventListener("click", () => {{
  document.querySelector("#pasted").textContent = window.taken;
}});
</script>
{scripts}</body></html>"""


class ForgePage:
    """The server. `base` is the path that Forge lives below."""

    def __init__(self, service: Service, base: str = "") -> None:
        self.base = base
        self._service = service
        self._app: Any = None
        service.install_routes(self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.origin}{base}/"
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def mount(self, path: str, app: Any, name: str | None = None) -> None:
        assert path == PREFIX
        self._app = app

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page.asked.append(f"{self.command} {self.path}")
                parts = urlsplit(self.path)
                path = parts.path.removeprefix(page.base)
                if not parts.path.startswith(page.base):
                    self.reply(404, [], b"")
                elif path.startswith(PREFIX):
                    self.reply(*page.through_the_app(self, path))
                elif path.startswith("/javascript/"):
                    file = JAVASCRIPT / Path(path).name
                    self.reply(200, [(b"content-type", b"text/javascript")], file.read_bytes())
                elif path == "/":
                    html = _PAGE.format(
                        theme="dark" if parts.query == "dark" else "",
                        token=page._service.page_token,
                        scripts="".join(f'<script src="javascript/{s}"></script>' for s in SCRIPTS),
                    )
                    self.reply(200, [(b"content-type", b"text/html")], html.encode())
                else:
                    self.reply(404, [], b"")

            do_POST = do_DELETE = do_GET

            def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers:
                    if name != b"content-length":
                        self.send_header(name.decode(), value.decode())
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        return Handler

    def through_the_app(
        self, handler: BaseHTTPRequestHandler, path: str
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Answer a request as a web server that speaks ASGI does."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": handler.command,
            "path": path,
            "headers": [(n.lower().encode(), v.encode()) for n, v in handler.headers.items()],
        }
        asyncio.run(self._app(scope, receive, send))
        start, *rest = sent
        return start["status"], start["headers"], b"".join(m.get("body", b"") for m in rest)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def forge_page(service: Service, base: str = "") -> Iterator[ForgePage]:
    """Serve the page for as long as the block lasts."""
    page = ForgePage(service, base)
    page.start()
    try:
        yield page
    finally:
        page.stop()
