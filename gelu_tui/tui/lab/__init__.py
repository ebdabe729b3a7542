"""The lab: where in the function, in the model and in the text a difference comes from."""
