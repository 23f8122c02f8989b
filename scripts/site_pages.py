"""What mkdocs is told beside mkdocs.yml: which files are pages, what the reference lists, formulas as MathML.

README, docs/ and the notes of other folders link to each other by paths, as a forge shows them. Each of them is a page
of the site at its own path, and so is what they link to: source files are shown, folders are lists of files.
"""

import html
import re
from pathlib import Path
from posixpath import normpath

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = get_plugin_logger("site_pages")
ROOT = Path(__file__).resolve().parents[1]
STARTS = [  # the pages; files that they link to come beside them
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "*/README.md", "experiments/*/README.md")
    for path in ROOT.glob(pattern)
]
AS_THEY_ARE = {".md", ".png", ".svg", ".ipynb"}
LANGUAGES = {".py": "python", ".diff": "diff", ".sh": "sh", ".toml": "toml", ".json": "json"}
LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^ {0,3}```", flags=re.MULTILINE)
MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)

# The reference: a page each. A package is shown by the names in its __all__, a module by all that are public.
REFERENCE = {
    "strategies": ("Strategies", ["strategies"]),
    "clients": ("Clients and mods", ["clients"]),
    "codecs": ("Codecs", ["codecs", "codecs.laq.skipping"]),
    "aggregation": ("Merge rules", ["aggregation", "aggregation.lora"]),
    "protocols": ("Seams and types", ["protocols", "types", "errors", "core.orders", "core.scores", "core.forecasts"]),
    "conformance": ("Checks for parts of your own", ["conformance", "core.settings", "core.state", "core.rng"]),
    "engines": ("Engines", ["engines", "core.events"]),
    "schedulers": (
        "Schedulers and ranks",
        [
            *("schedulers.same", "schedulers.stalling", "schedulers.until_enough"),
            *("ranks.scheduler", "ranks.ucb_dual", "ranks.budget", "ranks.rewards", "ranks.baselines"),
        ],
    ),
    "radio": ("Radio, power and energy", ["radio", "power", "power.cell_free_radio", "energy", "simulation"]),
    "vehicles": (
        "Vehicles and roadside units",
        [
            *("mobility.reading", "mobility.traces", "mobility.synthetic", "mobility.placement", "mobility.coverage"),
            *("mobility.handovers", "mobility.scale", "radio.roadside"),
            *("roadside.parked", "roadside.churn", "roadside.leaving", "roadside.scheduler"),
        ],
    ),
    "alignment": ("Alignment", ["alignment", "alignment.disjoint", "radio.mimo"]),
    "data": ("Data", ["data", "data.latents", "data.texts"]),
    "models": ("Models", ["models.lora", "tasks.finetune", "models.latents", "models.encoder"]),
    "config": ("Configuration and results", ["config", "results.run_directory"]),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the reference where mkdocs.yml has its overview."""
    assert config.nav is not None
    (entry,) = (entry for entry in config.nav if entry.get("Reference"))
    entry["Reference"] = ["reference.md", *({title: f"reference/{name}.md"} for name, (title, _) in REFERENCE.items())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the checkout's pages in the place of those of docs/."""
    for file in list(files.documentation_pages()) + list(files.media_files()):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in sorted(_reached()):
        files.append(_file(path, config))
    overview = "\n".join(f"- [{title}](reference/{name}.md)" for name, (title, _) in REFERENCE.items())
    text = f"# Reference\n\nMade of the docstrings. `import eafl_flower` has the main names.\n\n{overview}\n"
    files.append(File.generated(config, "reference.md", content=text))
    for name, (title, modules) in REFERENCE.items():
        told = "\n\n".join(f"::: eafl_flower.{module}\n    options:\n      heading_level: 2" for module in modules)
        files.append(File.generated(config, f"reference/{name}.md", content=f"# {title}\n\n{told}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to folders and to source files lead to their pages."""
    here = Path(page.file.src_uri).parent
    parts = FENCE.split(markdown)
    return "```".join(part if i % 2 else LINK.sub(lambda link: _led(link, here), part) for i, part in enumerate(parts))


def on_page_content(html_text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML, which browsers draw themselves."""
    return MATH.sub(lambda found: _mathml(found, page), html_text)


def targets(path: str) -> set[str]:
    """Return the paths that a page links to, as seen from the checkout, without those of the network."""
    text = (ROOT / path).read_text(encoding="utf-8")
    outside = FENCE.split(text)[::2]
    found = {link.group(2) for part in outside for link in LINK.finditer(part)}
    return {normpath(f"{Path(path).parent.as_posix()}/{link}") for link in found}


def _reached() -> set[str]:
    """Return the files and folders that can be reached from the pages by links."""
    reached, new = set(), set(STARTS)
    while new:
        reached |= new
        linked = {target for path in new if path.endswith(".md") for target in targets(path)}
        folders = {path for path in linked if (ROOT / path).is_dir()}
        linked |= {f"{folder}/README.md" for folder in folders if (ROOT / folder / "README.md").is_file()}
        linked |= {inside for folder in folders for inside in _inside(folder)}
        new = {path for path in linked if (ROOT / path).exists() and not path.startswith("..")} - reached
    return reached


def _inside(folder: str) -> list[str]:
    paths = sorted((ROOT / folder).rglob("*"))
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.suffix in LANGUAGES and "__pycache__" not in path.parts
    ]


def _file(path: str, config: MkDocsConfig) -> File:
    source = ROOT / path
    if source.is_dir():
        listed = "\n".join(f"- [{Path(inside).relative_to(path)}](/{inside})" for inside in _inside(path))
        relative = listed.replace(f"](/{path}/", "](")
        return File.generated(config, f"{path}/README.md", content=f"# {path}\n\n{relative}\n")
    if source.suffix in AS_THEY_ARE:
        return File(path, str(ROOT), config.site_dir, use_directory_urls=False)
    text = source.read_text(encoding="utf-8")
    shown = f"# {path}\n\n````{LANGUAGES.get(source.suffix, 'text')}\n{text}\n````\n"
    return File.generated(config, f"{path}.md", content=shown)


def _led(link: re.Match[str], here: Path) -> str:
    before, target, anchor, after = link.groups()
    path = normpath(f"{here.as_posix()}/{target}")
    if (ROOT / path).is_dir():
        target = f"{target.rstrip('/')}/README.md"
    elif (ROOT / path).is_file() and (ROOT / path).suffix not in AS_THEY_ARE:
        target = f"{target}.md"
    return f"{before}{target}{anchor or ''}{after}"


def _mathml(found: re.Match[str], page: Page) -> str:
    kind, formula = found.group(1), html.unescape(found.group(2)).strip()
    try:
        drawn = convert(formula, display="block" if kind == "div" else "inline")
        style = "overflow: auto hidden; padding: 0.6em 0"  # a long one can be scrolled, and no index is cut off
        return f'<div style="{style}">{drawn}</div>' if kind == "div" else drawn
    except Exception as error:  # whatever it raises, the page is to be named
        log.warning("%s: the formula %s cannot be converted: %r", page.file.src_uri, formula, error)
        return f"<code>{html.escape(formula)}</code>"
