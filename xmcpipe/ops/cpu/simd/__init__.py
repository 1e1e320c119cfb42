"""What the kernels of numba are made of: compiler and cache, vectors, transposes, the bits of floats."""
