"""A quota of uploaded files: the oldest are deleted for the new."""

import os
from contextlib import suppress
from pathlib import Path

from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.web.limits import MEGABYTE

MAX_BYTES = 500 * MEGABYTE  # of all files together
MAX_FILES = 1000


class UploadQuota:
    """ASGI middleware: before an upload, the oldest files above the quota are deleted.

    Files that exist at the start belong to the page and are never deleted.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
    ) -> None:
        self.app, self.max_bytes, self.max_files = app, max_bytes, max_files
        self.own = frozenset(_files())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_upload = scope["type"] == "http" and scope["path"].rstrip("/").endswith("/upload")
        if is_upload and scope["method"] == "POST":
            await run_in_threadpool(self._delete_oldest)
        await self.app(scope, receive, send)

    def _delete_oldest(self) -> None:
        """Delete the oldest files above the quota, and their folders, which hold one each."""
        stats = _files()
        newest_first = sorted(stats.keys() - self.own, key=lambda path: -stats[path].st_ctime_ns)
        total = 0
        for count, path in enumerate(newest_first, 1):
            total += stats[path].st_size
            if total > self.max_bytes or count > self.max_files:
                with suppress(OSError):  # already deleted, or not the only file in its folder
                    path.unlink()
                    path.parent.rmdir()


def _files() -> dict[Path, os.stat_result]:
    """Return the files below the upload folder, with their sizes and times."""
    stats = {}
    for path in Path(get_upload_folder()).rglob("*"):
        with suppress(OSError):  # deleted meanwhile
            if path.is_file():
                stats[path] = path.stat()
    return stats
