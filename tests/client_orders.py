"""What a client is told with an order, and what it answers and keeps."""

SEED = 3


def terms(counter=1):
    return {"seed": SEED, "counter": counter}


def state_of(context):
    return {k: {name: a.data for name, a in record.items()} for k, record in context.state.items()}


def metrics_of(reply):
    return dict(reply.content.metric_records["metrics"])
