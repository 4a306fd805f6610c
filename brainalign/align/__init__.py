"""Stimulus meets response: exact clocks, one frame grid, trials kept apart."""
