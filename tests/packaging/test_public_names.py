"""``import eafl_flower`` is quick and tells what there is; a name is imported when it is asked for."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import eafl_flower

HOME = {name: f"eafl_flower.{module}" for module, names in eafl_flower._NAMES.items() for name in names}


def _seen_by_checkers():
    """Names by module, as the block that only type checkers read has them."""
    tree = ast.parse(Path(eafl_flower.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_type_checkers_and_programs_find_the_same_names():
    assert _seen_by_checkers() == HOME
    assert set(eafl_flower.__all__) == {*HOME, "__version__"}


@pytest.mark.parametrize("name", sorted(HOME))
def test_a_name_is_the_object_of_its_module(name):
    assert getattr(eafl_flower, name) is getattr(importlib.import_module(HOME[name]), name)
    assert name in dir(eafl_flower)


def test_the_docstring_names_what_there_is():
    told = re.findall(r"``(\w+)``", eafl_flower.__doc__ or "")
    assert set(HOME) <= set(told)


def test_a_part_of_the_package_is_there_without_an_import_of_its_own():
    code = "import eafl_flower; print(eafl_flower.codecs.Int8Codec().block_size, eafl_flower.strategies.EMAM.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["256", "EMAM"]


def test_the_import_alone_imports_nothing_else():
    code = "import sys; before = set(sys.modules); import eafl_flower; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = {module.partition(".")[0] for module in done.stdout.split()} - {"eafl_flower"}
    assert others <= sys.stdlib_module_names


@pytest.mark.parametrize("part", ["clients", "data", "strategies"])
def test_a_part_has_the_names_of_its_module_public(part):
    package, names = (importlib.import_module(f"eafl_flower.{part}{end}") for end in ("", ".public"))
    star: dict[str, object] = {}
    exec(f"from eafl_flower.{part} import *", star)
    assert {*star} - {"__builtins__"} == {*names.__all__}
    assert all(star[name] is getattr(package, name) is getattr(names, name) for name in names.__all__)
    assert {*names.__all__} <= {*dir(package)}
    assert not hasattr(package, "__bool__")  # what None has, and no module
    with pytest.raises(AttributeError, match=f"module 'eafl_flower.{part}' has no attribute 'nothing'"):
        _ = package.nothing


def test_a_client_that_reads_no_table_imports_no_library_that_takes_long():
    """A SuperNode starts a process for every message."""
    code = (
        "import sys, eafl_flower.client_app\n"
        "from eafl_flower.app.resolving import resolve\n"
        "from eafl_flower.config import RunConfig\n"
        "resolve(RunConfig.from_toml('emam')).workload\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "eafl_flower" in imported
    assert not imported & {"pandas", "scipy", "torch", "transformers", "ray", "matplotlib"}


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="module 'eafl_flower' has no attribute 'AsyncEMA'"):
        _ = eafl_flower.AsyncEMA
