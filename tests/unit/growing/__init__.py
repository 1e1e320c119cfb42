"""Labels added to a trained model."""
