"""Commands that make one model of another."""
