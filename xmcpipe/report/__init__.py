"""Runs as one HTML page: figures beside published ones, curves, memory, topology, documents, settings.

A run is a finished chain of artifacts, found from its metrics backwards by fingerprint (`runs`). What the
page says is gathered first, each part by one module (`measured`, `training`, `topology`, `sample`,
`published`), into plain values; `charts`, `tables` and `page` only draw them. A part that is not there any
more costs its section and not the page: the page then says what is missing, and why.

    runs = [read_run(metrics_of(folder, store), store) for folder in folders]
    make_report(named(runs), Options(), Path("report.html"))
"""
