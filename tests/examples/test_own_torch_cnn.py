import runpy
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the example trains a torch CNN: pip install 'eafl-flower[torch]'")
pytest.importorskip("sklearn", reason="the example trains on scikit-learn's digits")
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_torch_cnn.py"


@pytest.mark.slow
def test_a_torch_cnn_learns_as_well_with_a_seventh_of_the_bytes_and_stops_within_its_budget() -> None:
    example = runpy.run_path(str(EXAMPLE))
    found = example["main"]()
    assert found["FedAvg"]["accuracy"] > 0.9
    # an upload is off by a tenth of itself at most: worth less than two images in a hundred
    assert abs(found["Compressed"]["accuracy"] - found["FedAvg"]["accuracy"]) <= 0.02
    assert found["Compressed"]["bytes an upload"] < found["FedAvg"]["bytes an upload"] / 5
    assert 1 <= found["EMQ"]["rounds"] < example["NUM_ROUNDS"]
    assert found["EMQ"]["joules"] <= example["BUDGET_J"] < found["EMQ"]["joules"] * 8 / 6
