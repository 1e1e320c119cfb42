"""Planning and measuring the memory of a training, above `training`: nothing there imports this package."""
