"""What docs/upgrading.md says of earlier versions is what happens to what they have left."""

import re

import numpy as np
import pytest
import safetensors.numpy

from eafl_flower.config import RunConfig
from eafl_flower.config.renamed import RENAMED
from eafl_flower.data.latents import files as latents
from eafl_flower.errors import CheckpointError, ConfigError
from eafl_flower.results import model_description
from eafl_flower.runs.keeping import checkpoint
from eafl_flower.wire.agreement import disagreement


@pytest.fixture(scope="module")
def page(checkout):
    return (checkout / "docs" / "upgrading.md").read_text()


def test_every_key_that_was_renamed_stands_in_the_table(page):
    rows = re.findall(r"^\| `([\w.-]+)` \| (`.*`) \|$", page, flags=re.MULTILINE)
    assert {old: new.replace("`", "") for old, new in rows} == RENAMED


def test_the_formats_are_those_of_this_version(page):
    for kind in (checkpoint.FORMAT, model_description.FORMAT):
        assert f"format `{kind}`" in page
    assert f"latents: format `{latents.VERSION}`" in page


def test_an_older_checkpoint_is_refused_by_the_line_that_the_page_shows(page, tmp_path):
    (shown,) = re.findall(r"^error: \S+(/checkpoint/server\.safetensors is not .*)$", page, flags=re.MULTILINE)
    (older,) = re.findall(r"found '([^']*)'", shown)
    assert older != checkpoint.FORMAT
    (tmp_path / "checkpoint").mkdir()
    path = tmp_path / "checkpoint" / "server.safetensors"
    safetensors.numpy.save_file({"values": np.zeros(1)}, path, metadata={"format": older})
    with pytest.raises(CheckpointError) as refused:
        checkpoint.open_checkpoint(path)
    assert str(refused.value) == f"{tmp_path}{shown}"


def test_an_older_key_is_refused_by_the_lines_that_the_page_shows(page, tmp_path):
    (shown,) = re.findall(r"^error: (1 problem in my\.toml:\n .*)$", page, flags=re.MULTILINE)
    with pytest.raises(ConfigError) as refused:
        RunConfig.from_flat({"codec.tuples": 4}, "my.toml")
    assert str(refused.value) == shown


def test_a_node_of_the_version_before_gets_the_line_that_the_page_shows(page):
    (line,) = re.findall(r"^node 3, partition 1, gets no jobs: (.*)$", page, flags=re.MULTILINE)
    node, run = re.findall(r"\d+\.\d+\.\d+", line)
    assert disagreement({"package": run}, {"package": node}) == line
