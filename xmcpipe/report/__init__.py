"""Runs as one HTML page: figures next to published ones, curves, memory, topology, documents, settings.

A run is a finished chain of artifacts, found from its metrics backwards by fingerprint. The page is made in
three steps: `facts/` reads and measures, and returns plain values; `sections/` chooses the charts, tables and
notes of each section; `page/` renders them as HTML. If an artifact was deleted, a note in the section states
what is missing, and the rest of the page is complete.

    runs = [read_run(metrics_of(folder, store), store) for folder in folders]
    make_report(named(runs), ReportOptions(), Path("report.html"))
"""
