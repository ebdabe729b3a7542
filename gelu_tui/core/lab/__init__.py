"""The lab: where in the function and where in the model a difference comes from."""
