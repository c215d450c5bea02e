"""Processes anywhere: any locale, a user without a name or a home, folders with odd names."""

import os
import socket
import subprocess
import sys
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import doctor
from experiments.core import cli, mlflow_env, paths, process_env, store_address
from experiments.core.paths import ROOT
from tests.expect import ending, refused
from tests.inprocess import Store

LOCALES = (
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "xx_XX.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1:strict"},
)
# A command that prints, and writes a file as a library does that names no charset.
SPEAKS = """
import click, sys
from experiments.core import cli
@click.command()
@click.argument("text")
def command(text):
    with open(sys.argv[0] + ".txt", "w") as file:
        file.write(text)
    click.echo(text)
    raise cli.UserError("code", text, "×→", text, "Fix it.")
cli.main(command)
"""


@pytest.mark.parametrize("env", LOCALES, ids=str)
def test_text_is_utf8_in_any_locale(env: dict[str, str], tmp_path: Path) -> None:
    script, text = tmp_path / "spoken.py", "ünï × 数字"
    script.write_text(SPEAKS, "utf-8")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUTF8"}
    result = subprocess.run(
        [sys.executable, script, text],
        env={**clean, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
    )
    assert result.stdout.decode("utf-8").strip() == text
    assert ending(result.stderr.decode("utf-8")).sentence.startswith(text)
    assert Path(f"{script}.txt").read_text("utf-8") == text


def test_a_user_without_a_name_gets_one(monkeypatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    env: dict[str, str] = {}
    process_env.prepare(env)
    assert env["LOGNAME"] == f"uid{2**31 - 7}" and Path(env["HOME"]).is_dir()
    process_env.prepare(named := {"LOGNAME": "me", "HOME": "/home/me"})
    assert (named["LOGNAME"], named["HOME"]) == ("me", "/home/me")


@pytest.mark.parametrize("home", ["my home", "it's", "a?b", "ünï"])
def test_setup_names_a_place_that_mlflow_cannot_use(home: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / home))
    with pytest.raises(SystemExit) as caught:
        mlflow_env.main()
    assert str(tmp_path / home) in ending(str(caught.value.code)).sentence
    assert not (tmp_path / home).exists()


def test_home_is_read_in_every_path(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.user_path("~/x y", "out") == tmp_path / "x y"
    assert cli.UserPath().convert("~", None, None) == tmp_path
    for text in ("~nobody-of-this-name/x", os.fsdecode(b"\xff")):
        with refused("path-invalid", what="out"):
            cli.user_path(text, "out")


def test_commands_name_the_store_that_they_are_for(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv(store_address.VARIABLE, raising=False)
    assert paths.command("python", "--task gate", "export/to_onnx.py") == (
        "python export/to_onnx.py --task gate"
    )
    assert paths.command("mlflow run", "-e train") == "mlflow run . -e train"
    assert paths.command_ui() == "mlflow ui"
    uri = store_address.store_uri(tmp_path / "with space" / "mlflow.db")
    monkeypatch.setenv(store_address.VARIABLE, uri)
    line = f"{store_address.VARIABLE}='{uri}' python {ROOT}/export/to_onnx.py --task gate"
    assert paths.command("python", "--task gate", "export/to_onnx.py") == line
    assert paths.command_ui() == f"mlflow ui --backend-store-uri '{uri}'"


def test_a_dead_server_is_named_at_once(monkeypatch, capfd) -> None:
    monkeypatch.delenv(store_address.RETRIES, raising=False)
    store_address.warn_if_dead("http://me:secret@127.0.0.1:9")
    printed = capfd.readouterr().err
    assert "127.0.0.1:9 does not answer" in printed and "refused" in printed
    assert "secret" not in printed


def test_a_server_that_never_answers_is_named(monkeypatch, capfd) -> None:
    monkeypatch.delenv(store_address.RETRIES, raising=False)
    monkeypatch.setattr(store_address, "ANSWER_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store_address.warn_if_dead(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "does not answer" in capfd.readouterr().err


def test_a_server_that_dies_is_named_while_mlflow_tries(monkeypatch, capfd) -> None:
    monkeypatch.delenv(store_address.RETRIES, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server, ended = HTTPServer(("127.0.0.1", 0), handler), threading.Event()
    server.RequestHandlerClass.do_GET = lambda self: self.send_error(404)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def die() -> None:
        assert capfd.readouterr().err == ""
        server.shutdown()
        server.server_close()

    def end() -> None:
        ended.set()
        threading.Event().wait()  # this thread never ends

    steps = iter([lambda: None, die, lambda: None, end])
    monkeypatch.setattr(store_address, "time", SimpleNamespace(sleep=lambda _: next(steps)()))
    store_address.watch(f"http://127.0.0.1:{server.server_port}")
    assert ended.wait(60)
    assert capfd.readouterr().err.count("does not answer") == 1


@pytest.mark.parametrize("answer", [b"not HTTP\r\n\r\n", b""])
def test_what_is_no_server_is_named(answer: bytes, monkeypatch, capfd) -> None:
    monkeypatch.delenv(store_address.RETRIES, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as client:
                client.recv(4096)
                client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        store_address.warn_if_dead(f"http://127.0.0.1:{listener.getsockname()[1]}")
    printed = capfd.readouterr().err
    assert "does not answer" in printed and len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("--experiment-id 1", {}),
        ("--experiment-name=old", {}),
        ("", {"MLFLOW_EXPERIMENT_NAME": "old"}),
        ("", {"MLFLOW_EXPERIMENT_ID": "1"}),
        ("--experiment-name Default", {"MLFLOW_EXPERIMENT_ID": "1"}),
    ],
)
def test_the_command_that_restores_an_experiment(
    line: str, env: dict[str, str], own_store: Store, monkeypatch, capfd
) -> None:
    own_store.client.delete_experiment(own_store.client.create_experiment("old"))
    words = ["python", "/x/bin/mlflow", "run", ".", *line.split()]
    monkeypatch.setattr(sys, "orig_argv", words)
    store_address.prepare({store_address.VARIABLE: own_store.address, **env})
    printed = capfd.readouterr().err
    assert (store_address.RESTORE.format(1) in printed) == ("Default" not in line), printed


def test_the_command_that_restores_the_default_experiment(
    own_store: Store, monkeypatch, capfd
) -> None:
    own_store.client.delete_experiment("0")
    command = store_address.RESTORE.format(0)
    with refused("storage-unreachable", fix=command):
        own_store.train()
    with pytest.raises(doctor.CheckFailed) as caught:
        doctor.store()
    assert caught.value.fix == command
    monkeypatch.setattr(sys, "orig_argv", ["python", "/x/bin/mlflow", "run", "."])
    store_address.prepare({store_address.VARIABLE: own_store.address})
    assert command in capfd.readouterr().err
