"""The documentation site: `make site` builds build/site from docs/ and the other pages of the repository.

The pages stay as they are read in the repository, with links to files beside docs/. `sources.py` finds what
they link to and gives each file a place on the site; `hooks.py` is called by MkDocs, adds these files, and
turns the links; `keys_page.py` and `api_page.py` write from the code what would else be written twice.
"""
