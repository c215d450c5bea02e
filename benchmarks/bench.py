"""All benchmarks that take minutes, one process each, then the report: make bench

Five are longer and run by hand; the report takes what they last wrote:
python -m benchmarks.recipes --recipe best, python -m benchmarks.reference,
python -m benchmarks.search, python -m benchmarks.robustness and python -m benchmarks.grounds
"""

import subprocess
import sys

import click
from tqdm import tqdm

from experiments import cli
from experiments.errors import UserError
from experiments.paths import ROOT

PARTS = (
    "startup",
    "recipes --task gate",
    "gates",
    "race",
    "roofline",
    "growth",
    "split",
    "load",
    "report",
)


@click.command("benchmarks.bench")
def command() -> None:
    """Run all benchmarks that take minutes, and the report."""
    for part in tqdm(PARTS, unit="part"):
        tqdm.write(f"benchmarks.{part}")
        module, *arguments = part.split()
        line = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        if subprocess.run(line, cwd=ROOT).returncode:
            raise UserError(f"python -m benchmarks.{part} failed; see above.")


if __name__ == "__main__":
    cli.main(command)
