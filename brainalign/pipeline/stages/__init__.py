"""The work itself, stage by stage: each a pure function of its settings, inputs and files."""
