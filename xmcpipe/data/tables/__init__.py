"""Tables that users bring: CSV, TSV, JSON lines and Parquet, read in batches of whole rows.

`formats` is the entry: it chooses the reader by the file's extension and turns rows into documents.
"""
