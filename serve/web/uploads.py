"""A quota for uploaded files: the oldest make room for the new."""

import os
import time
from contextlib import suppress
from pathlib import Path

from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.web.limits import MEGABYTE

MOST_BYTES = 500 * MEGABYTE  # of all files together
MOST_FILES = 1000
BETWEEN = 1.0  # seconds from one look at the folder to the next,
UPLOADS = 10  # or so many uploads, whichever comes first


class Quota:
    """ASGI middleware: before an upload is taken, the oldest files beyond the quota are removed.

    Files that were there before are the page's own, and stay.
    """

    def __init__(
        self, app: ASGIApp, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES
    ) -> None:
        self.app, self.most_bytes, self.most_files = app, most_bytes, most_files
        self.own = frozenset(files(Path(get_upload_folder())))
        self.looked, self.uploads = 0.0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = scope["type"] == "http" and scope["path"].rstrip("/").endswith("/upload")
        if upload and scope["method"] == "POST" and self._due():
            await run_in_threadpool(self.make_room)
        await self.app(scope, receive, send)

    def _due(self) -> bool:
        self.uploads += 1
        now = time.monotonic()
        if self.looked and now - self.looked < BETWEEN and self.uploads < UPLOADS:
            return False
        self.looked, self.uploads = now, 0
        return True

    def make_room(self) -> None:
        """Remove the oldest files beyond the quota, and their folders, which hold one each."""
        folder = Path(get_upload_folder())
        found = files(folder)
        taken = number = 0
        for path in sorted(found.keys() - self.own, key=lambda path: -found[path].st_ctime_ns):
            taken, number = taken + found[path].st_size, number + 1
            if taken > self.most_bytes or number > self.most_files:
                with suppress(OSError):  # removed meanwhile, or not the only one in its folder
                    path.unlink()
                    if path.parent != folder:
                        path.parent.rmdir()


def files(folder: Path) -> dict[Path, os.stat_result]:
    """Return the files below `folder`, with their sizes and times."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            if path.is_file():
                found[path] = path.stat()
    return found
