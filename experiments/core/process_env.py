"""The environment of every process of this project: nothing reports, no proxy for own servers.

Each library reads its switch when it is imported, so `experiments/__init__.py` applies them first
of all. `make setup` copies this file into .venv, whose Python then applies them at every start:
`mlflow ui`, `mlflow run` and `netron` report nothing either. It imports the standard library only.
"""

import os
import pwd
import re
import sys
from collections.abc import MutableMapping

REPORTS_NOTHING = {
    "DO_NOT_TRACK": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime's own function for it does not stop it
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def prepare(env: MutableMapping[str, str] = os.environ) -> None:
    """Switch off all reporting in `env`, and reach the servers of this machine without a proxy.

    Started processes write UTF-8, and find a user's name and home.
    """
    env.update(REPORTS_NOTHING)
    env["PYTHONUTF8"] = "1"  # of the processes that it starts, in any locale
    if sys.prefix != sys.base_prefix and is_plain(sys.prefix):
        env.setdefault("MLFLOW_ENV_ROOT", f"{sys.prefix}/mlflow")  # its link to .venv needs no home
    _name_user(env)
    listed = (env.get("no_proxy") or env.get("NO_PROXY", "")).split(",")
    if "*" not in map(str.strip, listed):
        hosts = dict.fromkeys(filter(None, [*map(str.strip, listed), *LOOPBACK]))
        env["no_proxy"] = env["NO_PROXY"] = ",".join(hosts)


def is_plain(path: str) -> bool:
    """Return whether a shell reads `path` as it is: MLflow does not quote it."""
    return bool(re.fullmatch(r"[\w@%+=:,./-]+", path, re.ASCII))


def _name_user(env: MutableMapping[str, str]) -> None:
    """Name a user whom the system does not know, as in a container: MLflow and torch ask."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        import tempfile  # slow, and rarely needed

        env.setdefault("LOGNAME", f"uid{os.getuid()}")
        env.setdefault("HOME", tempfile.gettempdir())
