import sys

import numpy as np
import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.tasks.backend import backend_for


@pytest.fixture(autouse=True)
def fresh():
    backend_for.cache_clear()
    yield
    backend_for.cache_clear()


def test_the_cpu_needs_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert backend_for("cpu").functions is np
    assert backend_for("auto").functions is np


def test_cuda_without_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'eafl-flower\[torch\]'"):
        backend_for("cuda")


def test_cuda_without_a_gpu_names_the_alternatives(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert backend_for("auto").functions is np
    with pytest.raises(ConfigError, match='finds no GPU here: use "cpu" or "auto"'):
        backend_for("cuda")


def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match="expected one of cpu, cuda, auto"):
        backend_for("tpu")
