"""Opens each shard folder below FOLDER and reads all of it; writes one word a folder to a file.

A process of its own: reading outside of memory ends a process, and the file then ends at that folder.
"""

import sys
import traceback
from pathlib import Path

import numpy as np

from xmcpipe.data.shards.batches import collate
from xmcpipe.data.shards.files import Shards
from xmcpipe.errors import XmcpipeError


def read(folder: Path) -> str:
    """ "same" with the number of documents, or what refused the shards."""
    try:
        shards = Shards(folder, "train")
        rows = np.arange(len(shards))
        shards.label_csr()
        shards.ids().to_pylist()
        if shards.has_terms:
            shards.terms(rows)
        for row in rows:
            collate(shards, rows[row : row + 1], 0)
    except XmcpipeError as error:
        return "error" if "\n" not in str(error) else f"lines {error}"
    except BaseException:
        return "traceback " + traceback.format_exc().replace("\n", " | ")
    return f"read {len(shards)}"


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w") as file:
        for folder in sorted(Path(sys.argv[1]).iterdir()):
            file.write(f"{folder.name} {read(folder)}\n")
            file.flush()
