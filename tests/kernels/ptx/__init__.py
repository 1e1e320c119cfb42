"""Kernels run as their compiled PTX, on the host.

The other tests of kernels compile their text by g++, which knows neither the inline assembly nor what NVRTC
made of the rest. Here NVRTC compiles a kernel to PTX, `translate` turns each PTX instruction into C++, and
g++ compiles that against `machine/`: a GPU whose lanes are the fibers of `tests/kernels/host/host.hpp`. It
checks what no value shows:

- every access is aligned, and within the block's shared memory;
- accesses of two lanes to the same bytes, one of them a write, have a barrier between them
  (`machine/races.hpp`). Shuffles, ballots and matrix products are no barriers, as in CUDA's memory model;
- lanes that wait together wait at the same instruction;
- products of a warpgroup (wgmma) give their sums when they are waited for, and no sooner; their operands in
  shared memory are laid out as their descriptors say, fenced (fence.proxy.async) before, and left alone
  meanwhile (`machine/warpgroups.hpp`).

An instruction that the translator doesn't know is an error that names it.
"""
