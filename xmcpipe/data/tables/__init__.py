"""Users' tables: CSV, TSV, JSON lines and Parquet, read in batches of whole rows.

`formats` is the entry point: it chooses the reader by the file extension, and turns rows into documents.
"""
