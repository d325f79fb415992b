"""Choosing for the user: settings of training by successive halving, and the early exit of a model by a bound."""
