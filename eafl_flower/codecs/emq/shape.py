"""Where the values of a layout lie as rows and columns, so that neighbours and columns can tell of each other."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from eafl_flower.codecs.pooling import pool_of
from eafl_flower.types import Layout

FLAT_COLUMNS: Final = 256
_FEWEST_COLUMNS: Final = 16
_MOST_COLUMNS: Final = 4096
_FEWEST_ROWS: Final = 8


@dataclass(frozen=True)
class Table:
    """Values ``start`` to ``stop`` of the pooled vector as rows of ``columns``; the last row may be short.

    ``is_matrix`` says whether a column means the same in each row.
    """

    start: int
    stop: int
    columns: int
    is_matrix: bool

    @property
    def rows(self) -> int:
        """Number of rows."""
        return -(-(self.stop - self.start) // self.columns)


@lru_cache(maxsize=64)
def tables_of(layout: Layout) -> tuple[Table, ...]:
    """Return the tables of all floating arrays with values, in order, next to each other.

    An array of at least two dimensions is one with a row for each index of the first, if it has at least 8 rows of 16
    to 4,096 values; the values between such arrays are together one of rows of 256.
    """
    pool, tables, loose = pool_of(layout, 1), [], 0
    for place, start, stop in zip(pool.pooled, pool.starts[:-1], pool.starts[1:], strict=True):
        shape = layout[place].shape
        columns = (stop - start) // shape[0] if len(shape) > 1 and shape[0] else 0
        if _FEWEST_COLUMNS <= columns <= _MOST_COLUMNS and shape[0] >= _FEWEST_ROWS:
            if loose < start:
                tables.append(Table(loose, start, FLAT_COLUMNS, is_matrix=False))
            tables.append(Table(start, stop, columns, is_matrix=True))
            loose = stop
    if loose < pool.num_values:
        tables.append(Table(loose, pool.num_values, FLAT_COLUMNS, is_matrix=False))
    return tuple(tables)
