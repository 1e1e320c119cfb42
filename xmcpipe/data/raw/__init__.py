"""The raw artifact: documents of any origin become train, test and labels tables, by the same policies.

`documents` is the input, `policies` the choices, `prepare` decides which documents and labels stay, `writing`
writes them.
"""
