"""The house is read from the sources: every arrow points down, no two files import each other, no room is too full."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import eafl_flower

PACKAGE = Path(eafl_flower.__file__).parent
# From the ground up. A module imports its own layer and those before it; the files at the root of the package have
# layers of their own. A file that only gathers names (``__init__``, ``public``) may look up.
LAYERS = (
    *("lazy", "conforming", "errors", "core.orders", "types", "core", "protocols"),
    *("energy", "simulation", "heads", "models", "aggregation", "codecs", "codecs.lqgcm"),
    *("data.tables", "mobility", "radio", "power", "alignment"),
    *("schedulers", "ranks", "roadside"),
    *("data", "data.sets", "data.leaks", "data.latents", "models.latents"),
    *("engines", "node", "wire", "tasks", "clients"),
    *("runs.members", "runs", "runs.scoring", "runs.state", "runs.clock", "runs.keeping", "runs.loop"),
    "strategies",
    *("config", "results", "results.views", "results.views.live", "results.report", "baselines", "conformance"),
    *("deployment", "scaffold", "app", "cli"),
    *("client_app", "server_app", "__main__"),
)
MOST_MODULES, MOST_LINES = 18, 320
STILL_LONG: set[str] = set()


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = {name for name, path in FILES.items() if path.name in ("__init__.py", "public.py")}


def _imports(path: Path) -> set[str]:
    """Modules of ours that a file imports anywhere, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "eafl_flower":
            module = node.module.removeprefix("eafl_flower").removeprefix(".")
            for alias in node.names:
                full = f"{module}.{alias.name}".removeprefix(".")
                found.add(full if full in FILES else module)
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("eafl_flower.") for a in node.names if a.name.startswith("eafl_flower.")}
    return found


IMPORTS = {name: _imports(path) - {""} for name, path in FILES.items()}


def _layer(module: str) -> int:
    """Place of the innermost layer that holds ``module``."""
    while module not in LAYERS:
        module, dot, _ = module.rpartition(".")
        assert dot, f"{module} is in no layer: say where it belongs in LAYERS"
    return LAYERS.index(module)


def test_every_arrow_points_down():
    up = {
        (module, imported)
        for module, names in IMPORTS.items()
        if module not in PACKAGES
        for imported in names
        if _layer(imported) > _layer(module)
    }
    assert up == set()


def test_no_two_files_import_each_other():
    graph = {module: names - PACKAGES for module, names in IMPORTS.items() if module not in PACKAGES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"these import each other: {error.args[1]}") from None


def test_no_folder_holds_more_than_a_reader_can_take_in():
    sizes = {folder: len([*folder.glob("*.py")]) for folder in {path.parent for path in FILES.values()}}
    assert {str(folder): size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def test_no_module_is_longer_than_a_reader_can_take_in():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name for name, count in lines.items() if count > MOST_LINES} == STILL_LONG
