"""The notebook of the first hour runs from top to bottom, and what its text says comes out."""

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from eafl_flower.results.run_directory import RunDirectory

nbformat = pytest.importorskip("nbformat", reason="notebooks: pip install 'eafl-flower[dev]'")
NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_hour.ipynb"
TRUTHS = """
sent = comparison.loc["bytes an upload"]
assert sent["lqgcm"] < sent["int8"] / 4
for found in map(curves, runs.values()):
    assert found["accuracy-before"].iloc[-1] > found["accuracy-before"].iloc[0] + 0.2
    assert found["energy_j"].is_monotonic_increasing and found["time_s"].is_monotonic_increasing
calm = time_s[rows.numbers - 1] < 8
assert brake[calm].max() < 0.5 < brake.max()
"""


def test_the_notebook_is_stored_without_what_a_run_has_put_into_it():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    for package in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(package, reason=f"the notebook needs {package}: pip install 'eafl-flower[report,dev]'")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(TRUTHS))
    nbformat.write(notebook, tmp_path / "first_hour.ipynb")
    command = [Path(sysconfig.get_path("scripts")) / "jupyter-execute", "--inplace", "first_hour.ipynb"]
    own = {name: str(tmp_path / name) for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CACHE_HOME")}
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | own
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(tmp_path / "first_hour.ipynb", as_version=4)
    pictures = [out for cell in executed.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) == 3
    assert sum(RunDirectory.open(path).finished for path in (tmp_path / "runs").iterdir()) == 2


def test_the_commands_that_the_notebook_names_are_there():
    from typer.main import get_command

    from eafl_flower.cli.main import app

    text = "".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    named = set(re.findall(r"`eafl ([a-z]+)", text))
    assert named and named <= set(get_command(app).commands)
