import runpy
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the example fine-tunes a transformer: pip install 'eafl-flower[lora]'")
pytest.importorskip("peft", reason="the example saves what PEFT loads: pip install 'eafl-flower[lora]'")
pytest.importorskip("sklearn", reason="the example trains on scikit-learn's digits")
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_transformer.py"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_transformer_is_tuned_within_a_budget_of_energy_and_peft_loads_what_it_has_learnt() -> None:
    example = runpy.run_path(str(EXAMPLE))
    found = example["main"]()
    assert found["UCBDual"] > found["before"] + 0.4
    assert found["joules a round"] <= 1.05 * example["BUDGET_J"]
    assert found["bytes an upload"] < found["bytes an upload, FedAvg"]
    assert found["loaded by PEFT"] == pytest.approx(found["UCBDual"], abs=1e-9)
