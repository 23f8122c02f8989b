"""numpyclient-digits: A Flower app with a NumPyClient."""

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context

from numpyclientdigits.task import load_data, test, train


# Define Flower Client and client_fn
class FlowerClient(NumPyClient):
    """Trains and evaluates on the data of one node."""

    def __init__(self, trainset, testset, local_epochs, lr):
        self.trainset = trainset
        self.testset = testset
        self.local_epochs = local_epochs
        self.lr = lr

    def fit(self, parameters, config):
        """Train the model on local data."""
        weights, train_loss = train(parameters, self.trainset, self.local_epochs, self.lr)
        return weights, len(self.trainset[1]), {"train_loss": train_loss}

    def evaluate(self, parameters, config):
        """Evaluate the model on local data."""
        loss, accuracy = test(parameters, self.testset)
        return loss, len(self.testset[1]), {"accuracy": accuracy}


def client_fn(context: Context):
    """Create the client of a node."""
    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    trainset, testset = load_data(partition_id, num_partitions)
    local_epochs = context.run_config["local-epochs"]
    lr = context.run_config["lr"]

    # Return Client instance
    return FlowerClient(trainset, testset, local_epochs, lr).to_client()


# Flower ClientApp
app = ClientApp(client_fn)
