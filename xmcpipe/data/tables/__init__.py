"""Users' tables, read in batches of whole rows.

`formats` is the entry point: it chooses the reader by the format (`detect`), and turns rows into documents.
The readers are `delimited`, `jsonl`, `arrow`, `line_formats` for files of other programs, and `folders`;
`labels` decides how a column holds labels.
"""
