"""Predictions and truth that are probably not what they are taken for."""
