"""Pictures of scores, response functions and nulls, drawn without any plotting state."""
