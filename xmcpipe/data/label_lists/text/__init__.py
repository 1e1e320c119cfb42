"""Label lists in text files without columns, as many systems write them.

`text_form` judges which form a file has, and `decoding` which encoding. `xc_text` reads ids, `named_text`
names, and `tab_text` the files of documents in which tabs separate ids, labels and texts.
"""
