"""A SuperNode in one process: it answers a SuperLink as Flower's do, and keeps app, task and model in memory."""
