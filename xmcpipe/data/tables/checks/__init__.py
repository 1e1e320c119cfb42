"""Looks at what a table holds: a file of another kind, a header among documents, text in a wrong encoding."""
