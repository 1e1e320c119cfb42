"""Files from the web: one transfer that resumes, three kinds of mirror, and the cache of archives.

`mirrors` tries the mirrors of a registered dataset in order, `archives` caches what they give, `transfer`
moves one file over HTTP, `web` opens URLs. `https`, `gdrive` and `dropbox` know how each kind of mirror turns
an address into a URL: each has `locate(address)` and `page(address)`.
"""
