"""The version that code states of itself is that of its package."""

import tomllib

from eafl_flower.wire.agreement import VERSION


def test_the_version_that_a_node_states_is_that_of_the_package(checkout):
    assert tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"] == VERSION
