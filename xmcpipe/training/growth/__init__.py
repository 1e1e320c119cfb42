"""Growth by gradient: which features a label reads next, from what the last batches would have changed.

SET grows connections at random (Mocanu et al., 2018), RigL where the dense gradient of one batch is largest
(Evci et al., 2020). One batch holds no document of most labels, so its gradient knows nothing of them. Here
the gradient is averaged over the last R batches, and formed for one chunk of labels at a time, so that memory
stays that of SET. With `growth = "documents"` the part of a label's own documents is taken from all of them.

`ring` keeps the batches, `cache` the features of every document, `gradient` forms the average from both,
`choice` picks features, `state` joins them to the training. `units` makes the sums exact.
"""
