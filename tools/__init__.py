"""Tools of the repository itself; none of this is installed."""
