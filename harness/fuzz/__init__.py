"""Looks for the inputs and the sequences of calls that take the stack deepest."""
