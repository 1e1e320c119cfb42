"""What a head begins with: the order of its labels, and the features that they read."""
