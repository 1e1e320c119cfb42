"""Datasets that `download` makes by name: those of the registry, Debian's package index, synthetic text.

`registered` unpacks and checks the archives of public datasets, `unpack` opens archives safely; `debian`,
`debian_index` and `debian_release` turn Debian's package index into documents; `synthetic` generates text.
"""
