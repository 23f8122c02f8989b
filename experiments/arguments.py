"""The command line that experiments have in common."""

import argparse
from collections.abc import Mapping, Sequence


def arguments(
    doc: str | None, questions: Sequence[str], *, seeds: int, quick: str, texts: Mapping[str, str] | None = None
) -> argparse.Namespace:
    """Return the arguments of a run; ``only`` are the questions asked for, all by default.

    Parameters
    ----------
    doc
        What the command does.
    questions
        All there are.
    seeds
        How many seeds there are, two at least.
    quick
        What is done with ``--quick``.
    texts
        Options of the experiment's own by name, each a text that is empty by default, and what they say.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--seeds", type=int, default=seeds, help=f"seeds, 2 to {seeds}")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default=",".join(questions), help="questions, comma separated")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    for name, told in (texts or {}).items():
        parser.add_argument(f"--{name}", default="", help=told)
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - set(questions):
        parser.error(f"--only {', '.join(sorted(unknown))}: expected some of {', '.join(questions)}")
    if not 2 <= given.seeds <= seeds or given.jobs < 1:
        parser.error(f"--seeds is from 2 to {seeds}, --jobs at least 1")
    return given
