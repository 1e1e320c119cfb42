"""Trainings that begin with another model."""
