"""Sparse autoencoders: train one on a model's frames, read one from a file, turn frames into sparse features."""
