"""The HTML page: its template, style sheet, script, and the code that renders them to one file."""
