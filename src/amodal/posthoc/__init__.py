"""Functions of predictions, fitted on rows set aside for it."""
