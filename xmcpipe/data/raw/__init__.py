"""The raw artifact: documents from any source become the tables train, test and labels, by the same policies.

`documents` defines the input and `policies` the choices. `staging` collects the documents, `prepare` decides
which documents and labels stay, `vocabulary` numbers the labels, and `writing` writes the artifact.
"""
