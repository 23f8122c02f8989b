"""The command line, where ``eafl`` is not on the path: ``python -m eafl_flower``."""

from eafl_flower.cli.main import main

if __name__ == "__main__":
    main(program="python -m eafl_flower")
