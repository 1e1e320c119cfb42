"""Breaks disks, files and inputs on purpose, with seeds, and counts what becomes of it."""
