"""A small vision transformer with random weights that clients fine-tune by LoRA."""

import numpy as np
import torch
from flwr.clientapp import ClientApp
from transformers import ViTConfig, ViTModel

from eafl_flower.clients import ClientTask, HowToTune, finetune_app
from eafl_flower.models.lora import Adapted
from eafl_flower.tasks.finetune import FineTune, TuningRows

RANK, CLASSES, ROWS = 4, 4, 16


def learner() -> FineTune:
    print("the transformer is loaded", flush=True)
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=3,
        intermediate_size=768,
    )
    encoder = Adapted(ViTModel(config).eval(), kind="image", lora_alpha=8.0)
    return FineTune(encoder=encoder, num_labels=CLASSES, learning_rate=1e-2, batch_size=8)


def tuning_app() -> ClientApp:
    one = learner()

    def tasks_of(client: int, clients: int) -> dict[str, ClientTask]:
        rng = np.random.default_rng(client)
        inputs = {"pixel_values": rng.standard_normal((ROWS, 3, 32, 32)).astype(np.float32)}
        rows = TuningRows(inputs=inputs, labels=rng.integers(0, CLASSES, ROWS))
        return {"": ClientTask(learner=one, train=rows, test=rows.part(np.arange(0)))}

    return finetune_app(tasks_of, how=HowToTune(score_after_training=False))
