"""AudioSAE's EEG experiment (section 4.8 of the paper), and what our own test says about the same features."""
