"""Commands about this machine: what the sparse layer costs on it, and its CUDA kernels."""
