"""The facts about runs, as plain values, with one module per kind of fact. No module here knows the page."""
