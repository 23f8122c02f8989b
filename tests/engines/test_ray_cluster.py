import os
import subprocess
import sys
from pathlib import Path

import pytest

from eafl_flower.engines.ray_cluster import import_ray, worker_environment


def test_a_missing_ray_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'eafl-flower\[simulation\]'"):
        import_ray()


def test_importing_the_engines_does_not_import_ray():
    code = "import eafl_flower.engines, sys; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=os.environ | worker_environment(), check=True)


def test_workers_find_this_checkout_and_scripts_beside_it_and_use_one_thread():
    environment = worker_environment()
    paths = environment["PYTHONPATH"].split(os.pathsep)
    assert str(Path(__file__).parent) in paths
    assert os.path.dirname(os.__file__) not in paths
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "1"
