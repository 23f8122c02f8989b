"""Docstrings are numpydoc with formulas in Sphinx's notation; the site's Markdown has dollars for them."""

import re
from textwrap import dedent
from typing import Any

import griffe

BLOCK = re.compile(r"^( *)\.\. math:: *(.*(?:\n(?:\1 +.*)?)*)", flags=re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")


class Formulas(griffe.Extension):
    """Writes ``.. math::`` and ``:math:`` as the Markdown of the site does."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of an object when it has been read."""
        if obj.docstring:
            obj.docstring.value = with_dollars(obj.docstring.value)


def with_dollars(text: str) -> str:
    r"""Return a docstring with its formulas between dollars.

    Examples
    --------
    >>> with_dollars("At :math:`x` it is\n\n.. math:: y = x^2\n\nagain.")
    'At $x$ it is\n\n$$\ny = x^2\n$$\n\nagain.'
    """
    text = BLOCK.sub(lambda found: _block(found.group(1), found.group(2)), text)
    return INLINE.sub(r"$\1$", text)


def _block(indent: str, formula: str) -> str:
    lines = dedent(formula).strip().splitlines()
    tail = "\n" * (len(formula) - len(formula.rstrip("\n")))
    inside = "\n".join(indent + line.strip() for line in ["$$", *(line for line in lines if line.strip()), "$$"])
    return inside + tail
