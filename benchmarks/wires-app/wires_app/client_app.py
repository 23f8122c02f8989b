"""A client that sends back what it was sent, a little moved, or fine-tunes a transformer that it keeps."""

from functools import cache

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    if context.run_config["task"] == "lora":
        from wires_app.adapters import tuning_app

        return kept(tuning_app)(message, context)
    arrays = [array + 1e-3 for array in message.content["arrays"].to_numpy_ndarrays()]
    metrics = MetricRecord({"num-examples": 1, "train_loss": 0.0})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


@cache
def kept(make):
    return make()
