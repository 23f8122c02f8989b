"""Everything outside the adapters works without flwr, torch and ray."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import eafl_flower

PACKAGE = Path(eafl_flower.__file__).parent
FORBIDDEN = {"flwr", "torch", "ray"}
ADAPTERS = {
    "eafl_flower.__main__",
    "eafl_flower.app",
    "eafl_flower.cli",
    "eafl_flower.client_app",
    "eafl_flower.clients",
    "eafl_flower.engines",
    "eafl_flower.models",
    "eafl_flower.node",
    "eafl_flower.results.report.run_page",
    "eafl_flower.runs",
    "eafl_flower.server_app",
    "eafl_flower.strategies",
    "eafl_flower.tasks",
    "eafl_flower.wire",
}
IMPORT_ALL = """
import importlib, sys
for name in ("flwr", "torch", "ray"):
    sys.modules[name] = None  # importing it raises ImportError
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_adapter(module: str) -> bool:
    return any(module == adapter or module.startswith(f"{adapter}.") for adapter in ADAPTERS)


CORE = {name: path for path in sorted(PACKAGE.rglob("*.py")) if not _is_adapter(name := _name(path))}


def _imported(tree: ast.AST) -> set[str]:
    """Every module imported anywhere in a file, in functions too; ``from a import b`` gives ``a`` and ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_the_core_is_most_of_the_package():
    assert {"eafl_flower", "eafl_flower.protocols", "eafl_flower.config.run_config"} <= set(CORE)
    assert len(CORE) > 20


# The package itself imports a name when it is asked for: test_public_names.py.
@pytest.mark.parametrize("module", [name for name in CORE if name != "eafl_flower"])
def test_a_core_module_names_no_framework_and_no_adapter(module):
    imported = _imported(ast.parse(CORE[module].read_text(encoding="utf-8")))
    assert not {name for name in imported if name.split(".")[0] in FORBIDDEN}
    assert not {name for name in imported if _is_adapter(name)}, "arrows point down only"


def test_the_core_imports_where_the_frameworks_are_missing():
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL, *CORE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
