"""lora-digits: A Flower / PEFT app."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from loradigits.dataset import load_data
from loradigits.models import cosine_annealing, get_model

# Flower ClientApp
app = ClientApp()


@app.train()
def train(msg: Message, context: Context):
    """Train the adapters on local data."""
    # Parse config
    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    cfg = context.run_config

    # Let's get the client partition
    images, labels = load_data(partition_id, num_partitions)

    # Load the model and initialize its adapters with the received weights
    model = get_model(cfg["model.lora.r"], cfg["model.lora.alpha"])
    set_peft_model_state_dict(model, msg.content["arrays"].to_torch_state_dict())

    # Set learning rate for current round
    new_lr = cosine_annealing(
        msg.content["config"]["server-round"],
        cfg["num-server-rounds"],
        cfg["train.learning-rate-max"],
        cfg["train.learning-rate-min"],
    )

    # Do local training
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=new_lr)
    model.train()
    running_loss = 0.0
    batches = torch.randperm(len(labels)).split(cfg["train.batch-size"])
    for batch in batches:
        optimizer.zero_grad()
        loss = model(pixel_values=images[batch], labels=labels[batch]).loss
        loss.backward()
        optimizer.step()
        running_loss += loss.item()

    # Construct and return reply Message
    model_record = ArrayRecord(get_peft_model_state_dict(model))
    metrics = {
        "train_loss": running_loss / len(batches),
        "num-examples": len(labels),
    }
    metric_record = MetricRecord(metrics)
    content = RecordDict({"arrays": model_record, "metrics": metric_record})
    return Message(content=content, reply_to=msg)
