"""The house rules: limits that keep every place in this repository easy to find and quick to read.

`python -m tools.house_rules` checks the checkout, prints one line for each finding and exits with 1 if there
are any. `make check` runs it. It only reads the text of the files and imports nothing of xmcpipe.

| rule | limit | module |
|---|---|---|
| folder | at most 16 files (`files.FOLDERS` and all folders in them) | `sizes` |
| file | at most 300 lines of Python, CUDA or C++ | `sizes` |
| function | at most 40 lines, unless `# Long: REASON` is directly above | `functions`, `cuda` |
| parameters | at most 8 in xmcpipe/ops, except in functions that torch.library registers | `functions` |
| imports | no cycle between the modules of xmcpipe | `imports` |
| repeats | no block of six lines twice in xmcpipe/ops | `repeats` |
| pointers | a file named in a comment, docstring or page exists | `pointers` |

import-linter checks the rest (the contracts in pyproject.toml): imports between packages go only downward,
and packages next to each other don't import each other in a cycle.
"""
