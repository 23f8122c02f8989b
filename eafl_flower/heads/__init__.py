"""Sizes of private heads: what they are, which one a client takes, and what is pruned from it. Plain numpy."""
