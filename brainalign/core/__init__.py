"""The types that travel between rooms, and the few tools every room shares."""
