"""EEG: reading, cleaning, judging and simulating recordings; MNE does the signal processing."""
