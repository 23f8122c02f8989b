"""What a page shows of a command's output, held against what the command prints: its lines, not its numbers."""

import re


def shown_after(page, first):
    """Return the lines of the block of ``page`` that begins with the text ``first``."""
    (block,) = re.findall(rf"^```\n({re.escape(first)}.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    return block.splitlines()


def lines_not_printed(shown, printed):
    """Return the lines of ``shown`` of which ``printed`` has none alike; `` ...`` stands for any lines."""
    known = {_shape(line) for line in printed.splitlines()}
    return [line for line in shown if line != " ..." and _shape(line) not in known]


def _shape(line):
    """A line without numbers is compared as a whole, others by how they begin: what follows depends on the numbers."""
    words = re.sub(r"\d[\d.,TZ]*", "#", line).split()
    if words[:1] == ["Next:"]:  # by the name under which it was started
        return ("Next:",)
    return tuple(words if "#" not in " ".join(words) else words[:2])
