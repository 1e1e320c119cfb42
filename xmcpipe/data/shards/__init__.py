"""Shards: the token ids of all documents, in Arrow files.

`tokenizing` makes one shard, and `encoding_pool` makes all of them on several cores. `files` writes shards
and reads them memory-mapped, and `batches` chooses and pads the documents of a batch. Reading requires
neither polars nor a tokenizer.
"""
