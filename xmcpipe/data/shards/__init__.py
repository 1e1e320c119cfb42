"""Shards: token ids of all documents in Arrow files.

`tokenizing` writes one shard, `encoding_pool` all of them on several cores; `files` reads them memory-mapped,
and `batches` chooses and pads the documents of a batch. Reading needs neither polars nor a tokenizer.
"""
