"""The facts of runs, one kind of fact per module, as plain values: nothing here knows the page."""
