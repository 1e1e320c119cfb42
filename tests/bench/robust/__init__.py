"""What a run survives: kills, signals, others at the same work, clocks that jump, busy neighbours."""
