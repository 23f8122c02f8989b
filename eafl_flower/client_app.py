"""The ClientApp that ``flwr run`` loads."""

from eafl_flower.build import build_client_app

app = build_client_app()
