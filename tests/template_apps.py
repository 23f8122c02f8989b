"""The apps of ``examples/apps``, as they are or with a diff applied, and what their logs say of accuracy."""

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from flwr.app import Context, RecordDict

from eafl_flower.config.files import flat
from eafl_flower.engines.inline import InlineGrid

APPS = Path(__file__).parents[1] / "examples" / "apps"
DIFFS = sorted(path.stem for path in APPS.glob("*.diff"))  # "pytorch-digits.async"
NEEDS = {
    "pytorch-digits": ("torch", "sklearn"),
    "sklearn-digits": ("sklearn",),
    "numpyclient-digits": ("sklearn",),
    "lora-digits": ("torch", "sklearn", "transformers", "peft"),
}


def app_of(name):
    """The app that "app.diff" or "app" is about."""
    return name.partition(".")[0]


def copy_app(name, folder):
    """Copy an app to ``folder`` and apply its diff, if ``name`` has one; return where it lies."""
    target = folder / name.replace(".", "-") / app_of(name)
    shutil.copytree(APPS / app_of(name), target, ignore=shutil.ignore_patterns("__pycache__"))
    if name != app_of(name):
        command = ["git", "apply", APPS / f"{name}.diff"]
        done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return target


def run_inline(path, nodes, monkeypatch, **settings):
    """Run the app that lies at ``path`` in this process; ``settings`` as after ``--run-config``."""
    app = tomllib.loads((path / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    config = {**flat(app["config"]), **settings}
    package = app["components"]["serverapp"].partition(".")[0]
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[module]  # of the app before it was changed
    with monkeypatch.context() as patch:
        patch.syspath_prepend(path)
        patch.chdir(path)  # where it saves its model
        client_app, server_app = (_loaded(app["components"][side]) for side in ("clientapp", "serverapp"))
        context = Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=config)
        server_app(grid=InlineGrid(client_app, nodes, run_config=config), context=context)


def _loaded(place):
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def last_accuracy(log):
    """The accuracy that a log tells last, of Flower's strategies or of ours."""
    found = re.findall(r"acc(?:uracy)?'?:? '?([\d.]+(?:e[+-]\d+)?)", log)  # 'eval_acc': '9.1e-01', eval_acc 0.91
    found = found or re.findall(r"\(\d+, ([\d.]+)\)", log)  # Flower's legacy History: [(1, 0.83), (2, 0.91)]
    assert found, log
    return float(found[-1])
