"""What may be done to the images of a training batch, one file each."""
