"""Datasets that `download` makes by name: registered datasets, Debian's package index, synthetic text.

`registered` unpacks and checks the archives of public datasets, and `unpack` opens archives safely. `debian`,
`debian_index` and `debian_release` turn the package index of Debian into documents. `synthetic` generates
text.
"""
