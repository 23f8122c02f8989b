"""What ``eafl new`` writes: a Flower app of the user's own, with our three lines in it."""
