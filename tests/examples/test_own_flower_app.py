import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_flower_app.py"


def test_an_ordinary_flower_app_learns_under_all_three_strategies() -> None:
    accuracy = runpy.run_path(str(EXAMPLE))["main"]()
    assert len(accuracy) == 3
    # separable data and a convex loss: far above the half that guessing gives
    assert min(accuracy.values()) > 0.85
