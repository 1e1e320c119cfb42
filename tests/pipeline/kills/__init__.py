"""Kills and signals: what they leave, and how the work goes on."""
