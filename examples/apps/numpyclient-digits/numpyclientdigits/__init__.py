"""numpyclient-digits: A Flower app with a NumPyClient."""
