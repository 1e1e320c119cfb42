"""Lists of labels, one per document: predictions, truth or training labels, from files of many formats.

`files` chooses the reader, `builder` checks and narrows what it yields, `lists` gives several of them one
numbering of labels and one order of documents. `json_lines` and `xc_text` are the readers of text formats.
"""
