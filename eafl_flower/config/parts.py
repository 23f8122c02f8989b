"""Parts: what can be put in the place of something else by its name, one table a group.

A part is a frozen dataclass whose fields have defaults. Those that ``core.settings`` calls settings are set under the
part's name, as in ``[codec.int8] block-size = 256``. What a part needs of the run is an argument of its method
``make``, which returns what the run works with; a part without one is that itself. A part is imported only when it is
named or listed.

=============  =======================  =====================================  ==================================
group          entry points             ``make`` gets                          and returns
=============  =======================  =====================================  ==================================
``data``       eafl_flower.data         ``data.holders.Holders``               ``data.source.InMemorySource``
``task``       eafl_flower.tasks        ``tasks.training.Training``            ``protocols.Task``
``strategy``   eafl_flower.aggregators  ``aggregation.fleet.Fleet``            ``protocols.Aggregator``
``staleness``  eafl_flower.staleness    jobs in flight                         ``aggregation.staleness.StalenessRule``
``codec``      eafl_flower.codecs       nothing                                ``protocols.Codec``; None: plain arrays
``radio``      eafl_flower.radios       the seed                               ``protocols.Radio``
``scheduler``  eafl_flower.schedulers   nothing                                ``protocols.Scheduler``
=============  =======================  =====================================  ==================================

Somebody else's part needs no line here: its package names it as an entry point of the group, or a preset names it as
``package.module:Class``.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from eafl_flower.core.settings import Setting, fields_of, settings_of
from eafl_flower.errors import ConfigError

_PATH: Final = re.compile(r"[\w.]+:\w+", re.ASCII)
_EXTRAS: Final = {"torch": "torch", "ray": "simulation", "matplotlib": "report"}  # module: extra of ours


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parts that can take each other's place: our own by name, and the group of the entry points of others."""

    what: str
    entry_points: str
    parts: Mapping[str, str]


GROUPS: Final = {
    "data": Group(
        what="data set",
        entry_points="eafl_flower.data",
        parts={
            "radio-map": "eafl_flower.data.generated.radio_map:RadioMap",
            "idm": "eafl_flower.data.sets.idm:IDM",
            "ngsim-us101": "eafl_flower.data.sets.ngsim:NGSIM",
            "geolife": "eafl_flower.data.sets.geolife:GeoLife",
            "ton-weather": "eafl_flower.data.sets.ton_iot:TONWeather",
            "unsw-nb15": "eafl_flower.data.sets.unsw_nb15:UNSWNB15",
            "iot-devices": "eafl_flower.data.sets.iot_devices:IoTDevices",
            "digits": "eafl_flower.data.sets.digits:Digits",
            "cifar10": "eafl_flower.data.sets.images:CIFAR10",
            "gtsrb": "eafl_flower.data.sets.images:GTSRB",
            "latent-world": "eafl_flower.data.sets.latent_world:LatentWorld",
            "latents": "eafl_flower.data.latents.part:LatentFiles",
            "csv": "eafl_flower.data.sets.own_csv:OwnCSV",
            "own-rows": "eafl_flower.data.sets.own_rows:OwnRows",
        },
    ),
    "task": Group(
        what="task",
        entry_points="eafl_flower.tasks",
        parts={
            "tabular": "eafl_flower.tasks.tabular:Tabular",
            "softmax": "eafl_flower.tasks.softmax:Softmax",
            "fractal": "eafl_flower.tasks.fractal_net:FractalNet",
            "cnn": "eafl_flower.tasks.images.cnn:CNN",
            "vision-transformer": "eafl_flower.tasks.images.vision_transformer:VisionTransformer",
            "alignment": "eafl_flower.tasks.alignment.task:OverMIMO",
        },
    ),
    "strategy": Group(
        what="strategy",
        entry_points="eafl_flower.aggregators",
        parts={
            "emam": "eafl_flower.aggregation.emam:EMAM",
            "fedasync": "eafl_flower.aggregation.reference:FedAsync",
            "fedbuff": "eafl_flower.aggregation.reference:Buffered",
            "fedavg": "eafl_flower.aggregation.reference:FedAvg",
            "fedavgm": "eafl_flower.aggregation.server_optimizers:FedAvgM",
            "fedadam": "eafl_flower.aggregation.server_optimizers:FedAdam",
            "alignment": "eafl_flower.alignment.part:FederatedADMM",
        },
    ),
    "staleness": Group(
        what="staleness rule",
        entry_points="eafl_flower.staleness",
        parts={
            "half-life": "eafl_flower.aggregation.staleness:HalfLifeInFlight",
            "exponential": "eafl_flower.aggregation.staleness:Exponential",
            "polynomial": "eafl_flower.aggregation.staleness:Polynomial",
            "hinge": "eafl_flower.aggregation.staleness:Hinge",
            "constant": "eafl_flower.aggregation.staleness:Constant",
            "estimated": "eafl_flower.aggregation.staleness:Estimated",
        },
    ),
    "codec": Group(
        what="codec",
        entry_points="eafl_flower.codecs",
        parts={
            "none": "eafl_flower.codecs.plain:PlainArrays",
            "float32": "eafl_flower.codecs.float32:Float32Codec",
            "int8": "eafl_flower.codecs.int8:Int8Codec",
            "lqgcm": "eafl_flower.codecs.lqgcm.part:LQGCM",
            "emq": "eafl_flower.codecs.emq.codec:EMQCodec",
            "laq": "eafl_flower.codecs.laq.codec:LAQCodec",
            "aquila": "eafl_flower.codecs.laq.codec:AQUILACodec",
            "lqgcm-published": "eafl_flower.codecs.lqgcm.published:PublishedLQGCMCodec",
        },
    ),
    "radio": Group(
        what="radio",
        entry_points="eafl_flower.radios",
        parts={
            "constant-rate": "eafl_flower.radio.constant_rate:ConstantRate",
            "cell-free": "eafl_flower.power.cell_free_radio:CellFree",
        },
    ),
    "scheduler": Group(
        what="scheduler",
        entry_points="eafl_flower.schedulers",
        parts={
            "same": "eafl_flower.schedulers.same:SameOrder",
            "fixed": "eafl_flower.schedulers.same:Fixed",
            "schedule": "eafl_flower.schedulers.stalling:WhenStalled",
            "until-enough": "eafl_flower.schedulers.until_enough:UntilEnough",
            "ucb-dual": "eafl_flower.ranks.scheduler:UCBDualScheduler",
            "fixed-rank": "eafl_flower.ranks.plain:FixedRank",
            "random-rank": "eafl_flower.ranks.plain:RandomRank",
            "by-data-rank": "eafl_flower.ranks.plain:ByDataRank",
            "greedy-rank": "eafl_flower.ranks.plain:GreedyRank",
        },
    ),
}
"""Groups of parts, by the group of settings that chooses one by its ``name``."""


def is_ours(group: str, name: str) -> bool:
    """Whether a part stands in our table, so that Flower knows its settings by their own keys."""
    return name in GROUPS[group].parts


def part_names(group: str) -> list[str]:
    """Return the names of all parts of a group, ours first, then those that installed packages name."""
    return list(dict.fromkeys([*GROUPS[group].parts, *(point.name for point in _entry_points(group))]))


def part_class(group: str, name: str) -> type[Any]:
    """Import a part.

    Raises
    ------
    ConfigError
        If there is no such part, two packages have one of this name, its import fails, or what is there is no frozen
        dataclass whose fields all have defaults.
    """
    path = _path(group, name)
    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute, None)
    except Exception as error:  # whatever its code raises
        msg = f"{path} cannot be imported ({type(error).__name__}: {error}){_remedy(error)}"
        raise ConfigError(msg) from error
    if found is None:
        msg = f"the module {module} has no {attribute}"
        raise ConfigError(msg)
    if not isinstance(found, type) or not is_dataclass(found) or not found.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        msg = f"{path} is no frozen dataclass; the fields of one are the settings of a part"
        raise ConfigError(msg)
    without = [f.name for f in fields(found) if f.init and f.default is MISSING and f.default_factory is MISSING]
    if without:
        msg = f"{path} has no default of {', '.join(without)}: a setting needs one, and what a run gives comes by make"
        raise ConfigError(msg)
    return found


def part_settings(group: str, name: str) -> dict[str, Setting]:
    """Return the settings of a part by key, as in ``codec.int8.block-size``; raises as ``part_class``."""
    return settings_of(part_class(group, name), f"{group}.{name}.")


def owner_of(key: str) -> tuple[str, str] | None:
    """Return group and name of the part to which a key belongs by its form, None if it is no part's.

    Examples
    --------
    >>> owner_of("codec.package.module:Class.scale"), owner_of("codec.name")
    (('codec', 'package.module:Class'), None)
    """
    group, _, rest = key.partition(".")
    name = rest.rpartition(".")[0]
    return (group, name) if name and group in GROUPS else None


def make_part(group: str, name: str, values: Mapping[str, Any]) -> Any:
    """Return a part with its settings out of ``values``, by key; raises as ``part_class`` and as the part itself."""
    found = part_class(group, name)
    keys = dict(zip(fields_of(found), part_settings(group, name), strict=True))
    return found(**{field: values[key] for field, key in keys.items()})


def made(part: Any, *of_the_run: object) -> Any:
    """Return what a part makes of what it needs of the run; the part itself if its settings are all it needs."""
    return part.make(*of_the_run) if hasattr(part, "make") else part


def _path(group: str, name: str) -> str:
    """Return where a part is, as ``package.module:Class``."""
    ours, others = GROUPS[group].parts, [point for point in _entry_points(group) if point.name == name]
    if len(others) + (name in ours) > 1:
        told = ["eafl-flower", *(f"{_package(point)} ({point.value})" for point in others)][name not in ours :]
        msg = (
            f"{len(told)} packages have a {GROUPS[group].what} of this name: {', '.join(told)}; "
            "name the one that is meant by package.module:Class, or remove the other"
        )
        raise ConfigError(msg)
    if name in ours or _PATH.fullmatch(name):
        return ours.get(name, name)
    if others:
        return others[0].value
    names = part_names(group)
    near = get_close_matches(name, names, n=1)
    meant = f'did you mean "{near[0]}"? ' if near else ""
    msg = f"no such {GROUPS[group].what}; {meant}there are {', '.join(names)}, and package.module:Class"
    raise ConfigError(msg)


def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    return _installed(GROUPS[group].entry_points, tuple(sys.path))


@lru_cache(maxsize=64)
def _installed(group: str, search_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "a package"


def _remedy(error: Exception) -> str:
    missing = (getattr(error, "name", None) or "").partition(".")[0]
    return f": pip install 'eafl-flower[{_EXTRAS[missing]}]'" if missing in _EXTRAS else ""
