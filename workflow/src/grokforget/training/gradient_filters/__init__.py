"""What may be done to a gradient before the optimizer is given it, one file each."""
