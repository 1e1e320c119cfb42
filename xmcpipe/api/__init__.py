"""What `import xmcpipe` gives to Python programs: models to ask, and a classifier for scikit-learn.

The commands call the same functions. `xmcpipe/__init__.pyi` lists the public names, docs/python.md explains
them.
"""
