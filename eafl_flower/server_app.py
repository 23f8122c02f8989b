"""The ServerApp that ``flwr run`` loads."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment of Flower's run configuration and leave its results in a run directory."""
    from eafl_flower.app.experiment import run_in_server_app

    run_in_server_app(grid, context)
