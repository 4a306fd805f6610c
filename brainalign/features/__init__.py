"""What is done to features between a model and a design: choosing, scaling, mixing with controls."""
