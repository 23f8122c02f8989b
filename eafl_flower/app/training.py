"""The run of an experiment over a grid, from the initial arrays to the last merge."""

from typing import Unpack

from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from eafl_flower.app.workload import Experiment
from eafl_flower.errors import RunFailedError
from eafl_flower.runs.state import Run
from eafl_flower.strategies.options import Options
from eafl_flower.wire.arrays import array_record


def train(experiment: Experiment, grid: Grid, **options: Unpack[Options]) -> Run:
    """Run the strategy of an experiment over ``grid``; ``options`` are further settings of ``RunOptions``."""
    config, workload = experiment.config, experiment.workload
    shared = workload.initial(config.seed)[: workload.task.num_shared]
    settings: Options = {
        "expected_nodes": 0 if experiment.given and not config.data.clients else workload.source.num_clients,
        "min_available_nodes": 1,  # a data set may have one client
    }
    settings.update(options)
    strategy = experiment.strategy(**settings)
    try:
        strategy.start(
            grid,
            array_record([str(i) for i in range(len(shared))], shared),
            num_rounds=config.strategy.merges,
            timeout=config.job.reply_timeout_s,
            evaluate_config=ConfigRecord({"after-training": config.evaluate.after_training}),
        )
    except RunFailedError as error:
        if "the run expects" not in str(error):
            raise
        command = (
            f'flwr run . --federation-config "num-supernodes={workload.source.num_clients} client-resources-num-cpus=1"'
        )
        msg = f"{error}; start it with: {command} (and the same --run-config)"
        raise RunFailedError(msg) from error
    assert strategy.run is not None
    return strategy.run
