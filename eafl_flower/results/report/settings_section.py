"""What a run was made from: in one line, all settings, versions and digests."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from eafl_flower.core.events import Event
from eafl_flower.results.report import page
from eafl_flower.results.report.page import Html, joined
from eafl_flower.results.report.terms import term

_STRATEGIES: Final = {"emam": "emam", "alignment": "alignment"}
_CODECS: Final = ("lqgcm", "emq", "int8", "laq", "aquila")
_SCHEDULERS: Final = {"ucb-dual": "ucb-dual"}
_DIGESTS: Final = ("config_sha256", "data_sha256", "order_sha256", "arrays_sha256")


def facts(settings: Mapping[str, Any], summary: Mapping[str, Any] | None, events: Sequence[Event]) -> Html:
    """Return in a line what was run: method, data, codec, clients, seed."""
    start = next((event for event in events if event["event"] == "start"), {})
    found: list[object] = []
    if strategy := str(settings.get("strategy.name", "")):
        found.append(_known(strategy, _STRATEGIES))
    if (scheduler := str(settings.get("scheduler.name", "same"))) in _SCHEDULERS:
        found.append(term(_SCHEDULERS[scheduler]))
    if data := settings.get("data.name"):
        found.append(f"data {data}")
    if codec := str(settings.get("codec.name", "")):
        found.append(joined("codec ", _known(codec, {name: name for name in _CODECS})))
    if clients := start.get("clients"):
        found.append(f"{clients:,} clients train")
    if in_flight := start.get("in_flight"):
        found.append(joined(f"{in_flight:,} ", term("in-flight")))
    if "seed" in settings:
        found.append(joined(term("seed"), f" {settings['seed']}"))
    if summary is not None:
        found.append(f"engine {summary['engine']}")
    parts: list[object] = []
    for place, one in enumerate(found):
        parts += [" · ", one] if place else [one]
    return joined(*parts)


def settings_section(settings: Mapping[str, Any]) -> Html:
    """Return all settings, folded away."""
    rows = [(key, value) for key, value in settings.items()]
    table = page.table(("setting", "value"), rows, text_columns=2)
    return page.section(
        "Settings", page.details("all settings", table), note="Paths are cut to their last part: pages are passed on."
    )


def identity_section(summary: Mapping[str, Any] | None) -> Html:
    """Return what tells whether two runs are the same: digests, data, versions; folded away."""
    if summary is None:
        return Html()
    rows = [
        (key, summary[key]) for key in ("engine", "seed", *_DIGESTS) if key in summary
    ]  # earlier versions noted less
    rows += [(name, f"{count:,}") for name, count in summary.get("data", {}).items()]
    rows += [(name, version or "not installed") for name, version in summary["versions"].items()]
    table = page.table(("", ""), rows, text_columns=2)
    return page.section("Versions and digests", page.details("what the run was made from", table))


def _known(name: str, terms: Mapping[str, str]) -> str | Html:
    return term(terms[name]) if name in terms else name
