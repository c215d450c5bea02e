"""No command asks for a name outside, and the environment changes nothing that the page does."""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import httpx
import pytest
import requests

from experiments.core import process_env
from serve.web import gradio_patches
from tests import outside
from tests.conftest import copy_project, free_port, serving
from tests.inprocess import SHORT

OPTIONS = re.sub(r"--(\S+) (\S+)", r"-P \1=\2", SHORT)
# One session of a user, in a shell with nothing set; the last name shows that names are recorded.
SESSION = """
set -euo pipefail
answers() { python - "$1" <<'END'
import sys, time, urllib.request
deadline = time.monotonic() + 120
while True:
    try:
        sys.exit(print(urllib.request.urlopen(sys.argv[1], timeout=5).status))
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.2)
END
}
trap 'kill $(jobs -p)' EXIT
python -m mlflow run . -e train --env-manager local OPTIONS
python -m mlflow ui --workers 1 &
python export/to_onnx.py --task gate
python -m experiments.registry list
python serve/app.py &
answers http://127.0.0.1:7860/healthz
answers http://127.0.0.1:5000/
answers http://127.0.0.1:5000/ajax-api/3.0/mlflow/ui-telemetry
python -c 'import socket; socket.getaddrinfo("recorded.example", 80)' 2>/dev/null || true
"""


def startup_venv(folder: Path) -> Path:
    """Make a .venv with this one's packages, to which `make setup` has written; return its bin."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    purelib = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(purelib, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


@pytest.mark.slow
def test_no_command_asks_for_a_name_outside(tmp_path: Path) -> None:
    outside.require_namespaces()
    project, home = copy_project(tmp_path / "project"), tmp_path / "home"
    programs, record = startup_venv(tmp_path / "venv"), tmp_path / "names.txt"
    home.mkdir()
    env = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    setup = [str(programs / "python"), "-m", "experiments.core.mlflow_env"]
    subprocess.run(setup, cwd=project, env=env, check=True, capture_output=True)
    session = outside.command(record, "bash", "-c", SESSION.replace("OPTIONS", OPTIONS))
    result = subprocess.run(session, cwd=project, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(record.read_text().split()) == {"recorded.example"}
    left = {path.name for path in home.rglob("*") if path.is_file()}
    assert not [name for name in left if "device" in name or "telemetry" in name], left


DEAD_PROXY, NO_FILE = "http://127.0.0.1:9", "/nowhere.pem"
CLIENTS = {
    **{
        "http_proxy": DEAD_PROXY,
        "https_proxy": "socks5://127.0.0.1:9",
        "all_proxy": "socks4://h:p",
    },
    **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), NO_FILE),
}


@pytest.mark.parametrize("own", ["", "page.example", "localhost, page.example", "*"])
def test_servers_of_this_machine_need_no_proxy(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**CLIENTS, "no_proxy": own, "NO_PROXY": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("urllib.request._opener", None)
    process_env.prepare()
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for host in ("127.0.0.1", "localhost"):
            address = f"http://{host}:{server.server_port}/README.md"
            assert requests.get(address, timeout=60).ok
            urllib.request.urlopen(address, timeout=60).close()
        server.shutdown()
    assert own in ("*", "") or "page.example" in os.environ["no_proxy"].split(",")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks4://h:p"),
        ("HTTPS_PROXY", "x://y:z"),
        ("no_proxy", "[::1"),
        ("SSLKEYLOGFILE", "/nowhere/keys"),
    ],
)
def test_gradio_is_imported_whatever_its_client_would_follow(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises((OSError, ValueError, httpx.InvalidURL)):
        httpx.Client()
    with gradio_patches.quick_import():
        httpx.Client().close()
    assert os.environ[name] == value


SWITCHES = [
    "SHARE",
    "SSR_MODE",
    "MCP_SERVER",
    "RUN_HISTORY",
    "VIBE_MODE",
    "HOT_RELOAD",
    "DEBUG",
    "PROFILING",
]
PATHS = ["TEMP_DIR", "ROOT_PATH", "WATCH_DIRS", "ALLOWED_PATHS", "NODE_PATH"]
SETTINGS = {
    **{f"GRADIO_{name}": "True" for name in SWITCHES},
    **{f"GRADIO_{name}": "/proc/nowhere" for name in PATHS},
    **{"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "many"},  # noqa: S104
    **{"GRADIO_NUM_WORKERS": "x", "WEB_CONCURRENCY": "auto", "FORWARDED_ALLOW_IPS": "*"},
}


@pytest.mark.slow
def test_the_environment_changes_nothing_of_the_page(trained: Path) -> None:
    port = free_port()
    line, url = f"python serve/app.py --port {port} --auth me:secret", f"http://127.0.0.1:{port}"
    with (
        serving(line, trained, f"{url}/healthz", **CLIENTS, **SETTINGS),
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        assert client.get("/").status_code == client.get("/config").status_code == 401
        client.auth = ("me", "secret")
        config = client.get("/config").json()
        assert config["root"] == url and client.get("/gradio_api/mcp/").status_code == 404
        switches = ("mcp_server", "vibe_mode", "dev_mode", "run_history", "analytics_enabled")
        assert not any(config[name] for name in switches)
        uploaded = client.post("/gradio_api/upload", files={"files": b"x"}).json()
        assert Path(uploaded[0]).is_relative_to(tempfile.gettempdir())
        gate = client.post("/gradio_api/run/evaluate_gate", json={"data": ["xor", [0, 1]]})
        assert gate.json()["data"][0]["output"] == 1


def test_every_setting_of_gradio_is_ignored_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {**SETTINGS, "PAGE_AUTH": "me:secret"})
    assert gradio_patches.no_settings() == sorted(SETTINGS)
    assert os.environ == {"PAGE_AUTH": "me:secret", **process_env.REPORTS_NOTHING}
