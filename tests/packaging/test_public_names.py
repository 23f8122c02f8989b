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


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="module 'eafl_flower' has no attribute 'AsyncEMA'"):
        _ = eafl_flower.AsyncEMA
