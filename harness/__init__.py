"""What to do with the machine: measure, reconcile, report."""
