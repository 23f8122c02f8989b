"""Run one experiment: ``python run_simulation.py [PRESET] [--set key=value ...]``, the same as ``eafl run``."""

from eafl_flower.cli.main import run_simulation

if __name__ == "__main__":
    run_simulation()
