"""Encoders of timm, whose weights are on a hub or in a file.

timm itself makes the model by the name that its ``create_model`` takes, reads the weights and says how images come to
it. Weights are read as weights only: no code in a file runs. The whole model, with a classifier of the width that the
weights have, must be there; then timm takes the classifier off, and what is left are its features, those of
``num_classes=0``. To make the model without a classifier at once would let missing weights pass, and be random.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from typing import Any

from eafl_flower.core.words import reason, shown
from eafl_flower.data.tables.files import find_own
from eafl_flower.errors import ConfigError
from eafl_flower.models.extras import require
from eafl_flower.models.latents.frozen import FrozenEncoder
from eafl_flower.models.latents.view import View

_FOLDER = "local-dir:"  # as timm's own names begin
_HUB = "hf-hub:"
_FORMS = "expected NAME, NAME=FILE, local-dir:FOLDER or hf-hub:NAME"
_SAVED = "expected a folder of timm.models.save_for_hf"
_ALONE = "expected weights alone: a file of safetensors, or torch.save(model.state_dict(), FILE)"
_OWN = "weights that are here: timm:NAME=FILE or timm:local-dir:FOLDER"
_NO_CODE = "weights_only"  # stands in what torch says of code that it did not run


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where weights come from: a name that timm takes, settings over those of the name, and what is told of them."""

    model: str
    name: str
    trained_on: str
    expected: str  # where they cannot be loaded
    overlay: Mapping[str, Any] = field(default_factory=dict)


def open_timm(encoder: str, *, data_dir: str | os.PathLike[str] = "") -> FrozenEncoder:
    """Open an encoder of timm, frozen and in evaluation mode.

    Parameters
    ----------
    encoder
        ``"NAME"``, a model of timm with the weights of its hub; ``"NAME=FILE"``, with weights of a file of safetensors
        or torch, in timm's own names; ``"local-dir:FOLDER"``, as ``timm.models.save_for_hf`` writes it; or
        ``"hf-hub:NAME"``.
    data_dir
        Where files are looked for that are not here; ``EAFL_DATA_DIR`` if empty.

    Raises
    ------
    ConfigError
        If there is no such model, or the weights are none of it.
    DataError
        If there is no such file.
    ModuleNotFoundError
        If timm is missing; says how to install it.
    """
    given = f"timm:{shown(encoder)}"
    require(f'the encoder "{given}"', "timm", extra="timm")
    import timm

    if encoder.startswith(_FOLDER):
        source = _in_folder(given, encoder.removeprefix(_FOLDER), data_dir)
    elif "=" in encoder:
        model, _, file = encoder.partition("=")
        source = _in_file(given, model, file, data_dir)
    else:
        source = _on_hub(given, encoder)
    try:
        with _no_word_of_pickles():
            module = timm.create_model(source.model, pretrained=True, pretrained_cfg_overlay=source.overlay)
        module.reset_classifier(0)
        view = _view(timm.data.resolve_model_data_config(module))
    except Exception as error:  # timm fails in many ways at files that others wrote
        raise ConfigError(f'"{given}" cannot be loaded: {_reason(error)}; {source.expected}') from error
    return FrozenEncoder(name=source.name, features=module.eval(), view=view, trained_on=source.trained_on)


def _in_folder(given: str, folder: str, data_dir: str | os.PathLike[str]) -> _Source:
    path = find_own(Path(folder) / "config.json", data_dir, setting=given, advice=_SAVED).parent.resolve()
    return _Source(model=f"{_FOLDER}{path}", name=path.name, trained_on=_not_said(path), expected=_SAVED)


def _in_file(given: str, model: str, file: str, data_dir: str | os.PathLike[str]) -> _Source:
    _refuse_unknown(given, model)
    if not file:
        raise ConfigError(f'"{given}": {_FORMS}')
    if Path(file).expanduser().is_dir():
        raise ConfigError(f'"{given}": {shown(file)} is a folder; timm:{_FOLDER}{shown(file)} takes one')
    path = find_own(file, data_dir, setting=given)
    return _Source(
        model=model,
        name=f"{model}-{path.stem}",
        trained_on=_not_said(path),
        expected=f"expected all weights of {model}, in timm's names",
        # the latter two are of the weights on timm's hub, of which these are none
        overlay={
            "file": str(path),
            "num_classes": _classes(given, model, path),
            "custom_load": False,
            "label_offset": 0,
        },
    )


def _on_hub(given: str, model: str) -> _Source:
    import timm

    if not model.startswith(_HUB):
        _refuse_unknown(given, model)
        if not timm.is_model_pretrained(model):
            raise ConfigError(f'"{given}": timm has no weights of it; {_OWN}')
    return _Source(model=model, name=model.removeprefix(_HUB), trained_on="what its publisher says", expected=_OWN)


def _not_said(path: Path) -> str:
    return f"what is not said (weights of {path.name})"


def _refuse_unknown(given: str, name: str) -> None:
    import timm

    architecture, _, tag = name.partition(".")
    if timm.is_model(architecture) and (not tag or name in timm.list_models(f"{architecture}.*", pretrained=True)):
        return
    near = get_close_matches(name, sorted({*timm.list_models(), *timm.list_models(pretrained=True)}), n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f'"{given}": timm has no such model; {meant}{_FORMS}, with a name of timm.list_models()')


def _classes(given: str, name: str, path: Path) -> int:
    """Return how many classes the classifier has that lies in a file, 0 without one."""
    from timm.models import get_pretrained_cfg, load_state_dict

    try:
        with _no_word_of_pickles():
            weights = load_state_dict(str(path), weights_only=True)
        layers = getattr(get_pretrained_cfg(name), "classifier", None) or ()
        layers = (layers,) if isinstance(layers, str) else layers
        return max((len(weights[f"{layer}.weight"]) for layer in layers if f"{layer}.weight" in weights), default=0)
    except Exception as error:  # torch fails in many ways at bytes that are something else
        raise ConfigError(f'"{given}": {path} cannot be read ({_reason(error)}); {_ALONE}') from error


@contextmanager
def _no_word_of_pickles() -> Iterator[None]:
    """Keep torch from warning of how a file is written: it can be read, or it is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        yield


def _view(settings: Mapping[str, Any]) -> View:
    channels, _, side = settings["input_size"]
    mean, sd = (
        tuple(numbers) if len(numbers) == channels else (fmean(numbers),) * channels
        for numbers in (settings["mean"], settings["std"])
    )  # as timm does where they are of other channels
    return View(
        side=int(side),
        resized=max(int(side), int(side / settings["crop_pct"])),
        mean=mean,
        sd=sd,
        interpolation=settings["interpolation"],
    )


def _reason(error: Exception) -> str:
    """Return what is wrong; of weights that do not fit, the first two that torch lists."""
    if _NO_CODE in str(error):
        return "something else than weights is in it, which is not run"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) < 2 or "loading state_dict" not in lines[0]:
        return reason(error)
    names = lines[1].rstrip(".").split(", ") if "key(s)" in lines[1] else [lines[1]]
    return f"the weights do not fit the model ({shown(', '.join(names[:2]) + ', ...' * (len(names) > 2))})"
