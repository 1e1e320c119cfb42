"""Files from the web: resumable transfers, three kinds of mirrors, and the cache of archives.

`mirrors` tries the mirrors of a registered dataset in order, `archives` caches the downloaded archives,
`transfer` downloads a file over HTTP, and `web` opens URLs. `https`, `gdrive` and `dropbox` are the kinds of
mirrors. Each has two functions: `locate(address)` returns the URL of the file, and `page(address)` the URL of
a page for people.
"""
