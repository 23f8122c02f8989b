"""numpyclient-digits: A Flower app with a NumPyClient."""

from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg

from numpyclientdigits.task import get_weights


def weighted_average(metrics):
    """Return the accuracy over all clients' test data."""
    total = sum(num_examples for num_examples, _ in metrics)
    return {"accuracy": sum(num_examples * m["accuracy"] for num_examples, m in metrics) / total}


def server_fn(context: Context):
    """Construct the components of the ServerApp."""
    # Read from config
    num_rounds = context.run_config["num-server-rounds"]
    fraction_fit = context.run_config["fraction-fit"]

    # Initialize model parameters
    parameters = ndarrays_to_parameters(get_weights())

    # Define strategy
    strategy = FedAvg(
        fraction_fit=fraction_fit,
        fraction_evaluate=1.0,
        min_available_clients=2,
        evaluate_metrics_aggregation_fn=weighted_average,
        initial_parameters=parameters,
    )
    config = ServerConfig(num_rounds=num_rounds)

    return ServerAppComponents(strategy=strategy, config=config)


# Create ServerApp
app = ServerApp(server_fn=server_fn)
