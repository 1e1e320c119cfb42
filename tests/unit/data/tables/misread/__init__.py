"""Files that a reader could take for something that they are not."""
