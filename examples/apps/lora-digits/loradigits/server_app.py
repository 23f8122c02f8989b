"""lora-digits: A Flower / PEFT app."""

import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from loradigits.dataset import load_test_data
from loradigits.models import get_model

# Create ServerApp
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the ServerApp."""
    # Read from config
    cfg = context.run_config
    num_rounds = cfg["num-server-rounds"]

    # Get initial adapter weights
    init_model = get_model(cfg["model.lora.r"], cfg["model.lora.alpha"])
    arrays = ArrayRecord(get_peft_model_state_dict(init_model))

    # Define strategy
    strategy = FedAvg(fraction_train=cfg["strategy.fraction-train"], fraction_evaluate=0.0)

    # Start the strategy, run it for `num_rounds`
    strategy.start(
        grid=grid,
        initial_arrays=arrays,
        num_rounds=num_rounds,
        evaluate_fn=get_evaluate_fn(cfg, num_rounds),
    )


def get_evaluate_fn(cfg, total_round):
    """Return an evaluation function that also saves the adapters."""

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        model = get_model(cfg["model.lora.r"], cfg["model.lora.alpha"])
        set_peft_model_state_dict(model, arrays.to_torch_state_dict())

        # Save model
        if server_round != 0 and (server_round == total_round or server_round % cfg["train.save-every-round"] == 0):
            model.save_pretrained(f"peft_{server_round}")

        images, labels = load_test_data()
        model.eval()
        with torch.no_grad():
            guesses = model(pixel_values=images).logits.argmax(dim=1)
        return MetricRecord({"accuracy": (guesses == labels).float().mean().item()})

    return evaluate
