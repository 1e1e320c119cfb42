"""Baselines: other systems, trained on the same raw artifact and measured like a model of a recipe.

A deep model pays only if it is better than what is cheaper. `popularity` predicts the same labels for every
document, `linear` is one linear classifier per label, and omikuji, napkinXC and PECOS are label trees of
linear classifiers, each from a library of its own. All but popularity read the same tf-idf features.

`documents` is what a baseline may read: no system sees a label of the test split. `systems` lists the
systems; a new one is a file with a function `rank`, and one line there.
"""
