"""Audio encoders: from a stimulus to hidden states on an exact clock."""
