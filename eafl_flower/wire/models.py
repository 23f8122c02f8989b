"""The models of one run, mostly one without a name: their arrays, and what sends them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import ArrayRecord

from eafl_flower.errors import ConfigError
from eafl_flower.types import Arrays, Layout, layout_of
from eafl_flower.wire.arrays import array_record, own_arrays_of
from eafl_flower.wire.server_side import ServerSide

MakeSide = Callable[[Sequence[str], Layout], ServerSide]


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model: ``keys`` name its arrays, ``place`` counts the models; ``side`` sends it and receives its updates."""

    name: str
    place: int
    keys: tuple[str, ...]
    initial: Arrays
    layout: Layout
    raw_bytes: int
    side: ServerSide


class Models:
    """All models of a run by name, in the order in which they were given.

    Parameters
    ----------
    initial
        The arrays that each starts from; the name of an only one may be "".
    make_side
        Makes what sends arrays of these names and this layout.
    """

    def __init__(self, initial: Mapping[str, ArrayRecord], make_side: MakeSide) -> None:
        self._models: dict[str, Model] = {}
        for place, (name, record) in enumerate(initial.items()):
            arrays, keys = own_arrays_of(record), tuple(record)
            layout, size = layout_of(arrays), sum(a.nbytes for a in arrays)
            side = make_side(keys, layout)
            self._models[name] = Model(
                name=name, place=place, keys=keys, initial=arrays, layout=layout, raw_bytes=size, side=side
            )
        self.first = next(iter(self._models.values()))

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    def __getitem__(self, name: str) -> Model:
        """Return a model; "" is the first. Raises ``ConfigError`` if there is none of this name."""
        if name and name not in self._models:
            known = ", ".join(f'"{known}"' for known in self._models) if self.first.name else "one, without a name"
            raise ConfigError(f'an order is for model "{name}": the run has {known}')
        return self._models.get(name, self.first)

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return list(self._models)

    @property
    def keys(self) -> list[str]:
        """Names of all arrays, of a model with a name as "model/array"."""
        return [f"{model.name}/{key}" if model.name else key for model in self for key in model.keys]

    @property
    def raw_bytes(self) -> int:
        """Size of all arrays [byte]."""
        return sum(model.raw_bytes for model in self)

    @property
    def num_parameters(self) -> int:
        """Number of elements of all arrays."""
        return sum(spec.size for model in self for spec in model.layout)

    @property
    def initial(self) -> Arrays:
        """All initial arrays, one model after the other."""
        return tuple(array for model in self for array in model.initial)

    def record(self, arrays: Mapping[str, Arrays]) -> ArrayRecord:
        """Return ``arrays`` of all models as one record."""
        return array_record(self.keys, [array for model in self for array in arrays[model.name]])

    @property
    def secret(self) -> bytes:
        """From which the clients' session keys are made, where they are sent."""
        return self.first.side.secret

    @secret.setter
    def secret(self, secret: bytes) -> None:
        for model in self:
            model.side.secret = secret
