"""Counts of instructions, of each unit's cycles and of bytes, for every kernel of a step, without a GPU.

1. `run`: the step of the package runs on a host GPU with a few labels, its kernels as compiled PTX. How often
   each PTX instruction is executed and what its memory accesses touch is counted exactly.
2. `loops`: the loops of the PTX and of the machine code (SASS) that ptxas made of it.
3. `estimate`: each SASS instruction is taken to be executed as often as the PTX of its source line in the
   same loop.
4. `table`: the counts at full size, in kernels/README.md.

    python -m tests.kernels.counts            prints the table
    python -m tests.kernels.counts --write    writes it to kernels/README.md
"""
