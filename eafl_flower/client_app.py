"""The ClientApp that ``flwr run`` loads."""

from eafl_flower.app.client import client_app

app = client_app()
