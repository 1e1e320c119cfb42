"""Label lists in CSV and TSV: `csv_table` reads the table, and `cells` what its cells hold.

`column_names` finds the columns by their names, also for JSON lines and Parquet.
"""
