"""Label lists, one list of labels per document: predictions, truth or training labels, in many file formats.

`files` chooses the reader, and `builder` checks and compacts the batches that a reader yields into the type
of `lists`. Before label lists can be compared, `numbering` gives them a common numbering of labels, and
`joining` a common order of documents. `json_lines` and `xc_text` are the readers of text formats.
"""
