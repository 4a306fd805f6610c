"""Sound: reading it, making it, and the acoustic baselines every model has to beat."""
