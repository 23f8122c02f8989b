"""The app of `benchmarks/wires.py`."""
