"""What may be added to a training loss, one file each."""
