"""Deep supervision: slots, optimizer, metrics, precision, and what a run may go on from."""
