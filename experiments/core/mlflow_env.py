"""Let plain `mlflow run .` use the project's own .venv, without conda, pyenv or a second install.

MLflow names a folder for each environment after python_env.yaml and the requirements, and uses it
if it exists; it only needs a script to activate. This one puts the activated .venv first, or else
the .venv next to the MLproject, so that every checkout can share it. The virtual environment that
runs this also gets copies of process_env.py and store_address.py, applied at every start of Python.
Run again after a change of the requirements: python -m experiments.core.mlflow_env
"""

import shutil
import sys
import sysconfig
from pathlib import Path

from mlflow.utils.environment import _PythonEnv
from mlflow.utils.virtualenv import _get_mlflow_virtualenv_root, _get_virtualenv_name

from experiments.core import process_env, store_address
from experiments.core.paths import ROOT

ACTIVATE = 'export PATH="${VIRTUAL_ENV:-$PWD/.venv}/bin:$PATH"\n'
# Modules in site-packages; Python runs the lines of their .pth files.
STARTUP = {"gates_and_digits_env": process_env, "gates_and_digits_store": store_address}


def main() -> None:
    """Write the script and print its path; let this virtual environment's Python report nothing."""
    python_env = _PythonEnv.from_yaml(str(ROOT / "python_env.yaml"))
    name = _get_virtualenv_name(python_env, ROOT)
    script = Path(_get_mlflow_virtualenv_root()) / name / "bin" / "activate"
    if not process_env.is_plain(str(script)):
        sys.exit(
            "Error: MLFLOW_ENV_ROOT: expected a path that a shell reads unquoted, as MLflow does; "
            f"found {script.parents[2]}. Set it to another folder, then: make setup [path-invalid]"
        )
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(ACTIVATE)
    if sys.prefix != sys.base_prefix:  # a system's own Python is not this project's
        packages = Path(sysconfig.get_path("purelib"))
        for name, module in STARTUP.items():
            shutil.copyfile(str(module.__file__), packages / f"{name}.py")
            (packages / f"{name}.pth").write_text(f"import {name}; {name}.prepare()\n")
    print(script)


if __name__ == "__main__":
    main()
