"""Nulls that respect the data, and corrections for how many questions were asked."""
