"""What there is to say about a data file before anyone trains on it."""

from dataclasses import dataclass

from eafl_flower.data.tables.files import listed


@dataclass(frozen=True, kw_only=True)
class ColumnScore:
    """How well one column alone names the class of held out rows; ``warning`` is empty if nothing is odd."""

    column: str
    score: float
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What ``check_file`` found. Counts are rows; ``columns`` are sorted, best score first.

    ``notes`` are those of a run, and more; ``refusal`` is why a run would not take the file, empty if it would.
    """

    path: str
    name: str
    rows: int
    num_columns: int
    label: str
    split: str
    classes: tuple[tuple[str, int], ...]
    client_rows: tuple[int, float, int] | None
    num_clients: int | None
    majority: float
    columns: tuple[ColumnScore, ...]
    repeated_rows: int
    test_rows: int
    copies_by_row: float
    copies: int
    notes: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def split_warnings(self) -> tuple[str, ...]:
        """What to know before the rows are split."""
        out = []
        if self.copies_by_row >= 0.005:
            out.append(f"a split by row would train on copies of {self.copies_by_row:.1%} of the held out rows")
        if self.copies:
            out.append(f"{self.copies} of the held out rows have copies in training")
        return tuple(out)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each thing to know before training."""
        columns = (
            f"{c.column} {c.warning} (look-up {c.score:.3f}, majority {self.majority:.3f})"
            for c in self.columns
            if c.warning
        )
        return (*columns, *self.split_warnings)

    def lines(self, *, most: int = 10) -> list[str]:
        """Return the report as lines of text, with the ``most`` best columns and every suspicious one."""
        if self.client_rows is None:
            clients = "no client column (clients are drawn with label skew)"
        else:
            low, median, high = self.client_rows
            clients = f"{self.num_clients}, rows each: min {low}, median {median:g}, max {high}"
        width = max([len(c.column) for c in self.columns] + [6])
        shown = [c for i, c in enumerate(self.columns) if i < most or c.warning]
        return [
            f"{self.path}: {self.name}, {self.rows:,} rows, {self.num_columns} columns",
            f"label {self.label}: "
            + listed([f"{name or '(empty)'} {count:,}" for name, count in self.classes], most=30),
            f"clients: {clients}",
            f"held out: {self.split}; {self.test_rows:,} rows, majority class {self.majority:.3f}",
            f"rows that repeat another: {self.repeated_rows:,}",
            "one column alone names the class of held out rows:",
            *(f"  {c.column:<{width}}  {c.score:.3f}{'  <- ' + c.warning if c.warning else ''}" for c in shown),
            *self.notes,
            *(f"warning: {warning}" for warning in self.split_warnings),
        ]
