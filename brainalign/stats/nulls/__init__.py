"""Surrogate data that would be as likely as the data if there were no effect: one file per family."""
