"""The losses: a file for each, and a table of their names that needs no torch.

A loss runs over every label against sparse positives, value and gradient in one pass over a chunk of scores.
The gradient overwrites the scores: first all scores count as negatives, then the few positives are corrected.
No target matrix exists. Sums are float32 and unscaled.

A new loss is a file with a `Loss` here and a line in `loss_table.py`. It then trains wherever torch computes
it: with memory = "paper" on any device, with "light" in `ops/step_torch.py`. The fused backends have code of
their own for each loss, and refuse one that they don't have:

- numba on a CPU: `CODES` and `label_losses` in `ops/cpu/losses.py`;
- CUDA: the `kernel_code` of the `Loss`, its branches in kernels/include/loss.cuh and
  kernels/step/parameters.cuh, and the legal values LOSS and WITH_LOSS in `ops/nvrtc/kernel_table.py`.
"""
