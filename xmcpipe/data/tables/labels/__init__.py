"""Labels of a table: lists, text with separators, lists saved as text, class numbers, and 0/1 vectors.

`column` is the entry point. What can't be a list of labels is refused with the ways out, and what may be a
mistake is warned about with an example.
"""
