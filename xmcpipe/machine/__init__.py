"""The machine that this process runs on: the cores it may use, and what they multiply."""
