"""Settings of somebody else's parts on their way through Flower, which refuses keys that no app declares."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from eafl_flower.core.settings import Value

FOREIGN: Final = "foreign"
"""Key of the one text in which they travel, a JSON object."""


def folded(values: Mapping[str, Value], foreign: Iterable[str]) -> dict[str, Value]:
    """Return ``values`` with those of the keys ``foreign`` in one text under the key ``FOREIGN``."""
    apart = {key: values[key] for key in foreign}
    rest = {key: value for key, value in values.items() if key not in apart}
    return rest | ({FOREIGN: json.dumps(apart)} if apart else {})


def unfolded(given: Mapping[str, object]) -> dict[str, object]:
    """Return ``given`` with what travels under the key ``FOREIGN`` in its places, the inverse of ``folded``.

    Raises
    ------
    ValueError
        If that is no JSON object of settings.
    """
    rest = {key: value for key, value in given.items() if key != FOREIGN}
    text = given.get(FOREIGN, "")
    try:
        apart = json.loads(text or "{}") if isinstance(text, str) else None
    except (ValueError, RecursionError):
        apart = None
    if not isinstance(apart, dict):
        shown = json.dumps(text, default=str)
        msg = f'{FOREIGN} = {shown}: expected settings as a JSON object, as in {{"codec.mine.bits": 4}}'
        raise ValueError(msg)
    return rest | apart
