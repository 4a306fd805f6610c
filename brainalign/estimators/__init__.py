"""Encoding and decoding models as scikit-learn estimators: arrays, trials, recordings or MNE objects in."""
