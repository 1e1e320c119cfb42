"""Arrow's list views as lists: polars has none, and few operations of Arrow take them."""

import numpy as np
import pyarrow as pa

from xmcpipe.data.arrays import row_offsets


def without_views(column: pa.Array) -> pa.Array:
    """A column of list views as one of large lists, [n]; any other column as it is."""
    if not (pa.types.is_list_view(column.type) or pa.types.is_large_list_view(column.type)):
        return column
    # Not by Arrow's own cast: of a slice (and batches may be slices) it returns empty lists.
    missing = column.is_null().to_numpy(zero_copy_only=False)
    sizes = np.where(missing, 0, column.sizes.to_numpy()).astype(np.int64)
    ends = row_offsets(sizes)
    places = np.arange(ends[-1]) + np.repeat(column.offsets.to_numpy().astype(np.int64) - ends[:-1], sizes)
    values = column.values.take(pa.array(places))
    return pa.LargeListArray.from_arrays(pa.array(ends), values, mask=pa.array(missing))
