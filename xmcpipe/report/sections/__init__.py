"""The sections of the page, one per module: charts, tables, and notes on what is missing and why."""
