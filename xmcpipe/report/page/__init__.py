"""The HTML page: its template, style sheet and script, and the code that renders them into one file."""
