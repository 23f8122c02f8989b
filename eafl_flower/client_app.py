"""The ClientApp that ``flwr run`` loads."""

from eafl_flower.app.workload import build_client_app

app = build_client_app()
