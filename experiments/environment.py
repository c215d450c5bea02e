"""Let plain `mlflow run .` use the project's own .venv: no conda, no pyenv, no second install.

MLflow keeps one folder an environment, named after python_env.yaml and the requirements, and
takes it as it is if it exists. All it needs of it is a script to activate; ours puts the
activated .venv first, or else the one beside the MLproject, so that every checkout may share it.
Run again after a change of the requirements: python -m experiments.environment
"""

import sys
from pathlib import Path

from mlflow.utils.environment import _PythonEnv
from mlflow.utils.virtualenv import _get_mlflow_virtualenv_root, _get_virtualenv_name

from experiments.paths import ROOT

ACTIVATE = 'export PATH="${VIRTUAL_ENV:-$PWD/.venv}/bin:$PATH"\n'
QUIET = "export MLFLOW_DISABLE_TELEMETRY=true GRADIO_ANALYTICS_ENABLED=False\n"


def main() -> None:
    """Write the script and print its path; switch off telemetry where the .venv is activated."""
    python_env = _PythonEnv.from_yaml(str(ROOT / "python_env.yaml"))
    name = _get_virtualenv_name(python_env, ROOT)
    script = Path(_get_mlflow_virtualenv_root()) / name / "bin" / "activate"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(ACTIVATE)
    own = Path(sys.prefix) / "bin" / "activate"
    if own.is_file() and QUIET not in own.read_text():
        own.write_text(own.read_text() + QUIET)
    print(script)


if __name__ == "__main__":
    main()
