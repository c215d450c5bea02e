"""Each patch of Gradio is still needed, and does what it is for.

Two processes print what Gradio does, without the patches and with them.
"""

import json
import subprocess
import sys

from experiments.core.paths import ROOT

SCRIPT = """
import asyncio, json, sys, tempfile
from contextlib import nullcontext, suppress
from experiments.core.errors import UserError
from serve.web import gradio_patches

stubs, asked = [], []
def note(event, values):
    if event == "open" and str(values[0]).endswith(".pyi"):
        stubs.append(values[0])
    if event in ("socket.getaddrinfo", "socket.connect"):
        asked.append(event)

sys.addaudithook(note)
with gradio_patches.quick_import() if PATCHED else nullcontext():
    import gradio as gr
from gradio import processing_utils
from gradio.data_classes import FileData
from gradio.state_holder import SessionState
from gradio.utils import MatplotlibBackendMananger

def fail(text):
    raise {"mistake": UserError("value-invalid", "image")}.get(text, ZeroDivisionError())

with gr.Blocks() as page:
    image, text = gr.Image(), gr.Textbox()
    text.input(fail, text, None)
if PATCHED:
    gradio_patches.no_plots()
    gradio_patches.no_outside()
    gradio_patches.no_memory()
    gradio_patches.one_sentence(page)
result = {"looks for stub files": bool(stubs)}

with suppress(ImportError), MatplotlibBackendMananger():
    pass
result["imports matplotlib"] = sys.modules.get("matplotlib") is not None

url = "https://page.invalid/7.png"
given = {"path": url, "meta": {"_type": "gradio.FileData"}}
for name, fetch in {
    "fetches an input": lambda: asyncio.run(
        processing_utils.async_move_files_to_cache(given, image)
    ),
    "fetches a value": lambda: image.move_resource_to_block_cache(url),
    "fetches a file": lambda: processing_utils.save_url_to_cache(url, tempfile.mkdtemp()),
}.items():
    asked.clear()
    try:
        fetch()
    except Exception as error:
        assert not PATCHED or error.__cause__.code == "address-forbidden", error
    result[name] = bool(asked)

state = SessionState(page)
state._update_value_in_config(text._id, "a drawing")
result["keeps values"] = "a drawing" in str(state.config_values)

for name, inputs in {"a mistake": ["mistake"], "a fault": ["fault"], "no input": []}.items():
    try:
        asyncio.run(page.process_api(0, inputs))
    except Exception as error:
        result[f"hides the message of {name}"] = not isinstance(error, gr.Error)
print(json.dumps(result))
"""


def test_without_the_patches_gradio_does_what_they_prevent() -> None:
    results = {}
    for patched in (False, True):
        command = [sys.executable, "-W", "ignore", "-c", f"PATCHED = {patched}\n{SCRIPT}"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        results[patched] = json.loads(result.stdout)
    assert len(results[False]) == len(results[True]) == 9
    assert all(results[False].values()), results[False]
    assert not any(results[True].values()), results[True]
