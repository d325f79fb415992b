"""Deep supervision: slots, optimizer, metrics, precision, and the checks of trainer and checkpoint."""
