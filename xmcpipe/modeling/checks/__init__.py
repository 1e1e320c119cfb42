"""Checks of models of unknown origin, before and after they are loaded."""
