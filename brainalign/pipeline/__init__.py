"""The order of the work: plan, store, execute, report."""
