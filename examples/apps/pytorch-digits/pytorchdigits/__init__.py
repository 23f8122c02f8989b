"""pytorch-digits: A Flower / PyTorch app."""
