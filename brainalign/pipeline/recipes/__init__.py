"""Analyses of other people, step by step, beside our own test of the same data."""
