"""Lagged ridge models of the response: scores, response functions and their permutations."""
