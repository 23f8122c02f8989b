"""sklearn-digits: A Flower / scikit-learn app."""
