"""The configuration of a run: ``RunConfig``, where its values come from, and what they must be."""

from eafl_flower.config.files import preset_names
from eafl_flower.config.run_config import RunConfig, parse_overrides

__all__ = ["RunConfig", "parse_overrides", "preset_names"]
