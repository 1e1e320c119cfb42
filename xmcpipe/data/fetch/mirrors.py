"""The mirrors of a set, tried in order until one gives an archive that proves good.

Parallel runs share one download: whoever comes second waits, and finds the archive kept.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from xmcpipe.data.fetch.kept import KINDS, Kept, downloading, folder_of
from xmcpipe.data.registry import Dataset, Mirror
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)
T = TypeVar("T")


class BadArchiveError(XmcpipeError):
    """An archive that is broken or hostile: another mirror may do better."""


class UnexpectedContentError(XmcpipeError):
    """An archive that is whole, but can't be read or holds something else: another mirror may do better."""


def first_good(dataset: Dataset, prove: Callable[[Path, str, Mirror], T]) -> T:
    """What `prove(archive, sha256, mirror)` makes of the first archive that it finds no fault with.

    `prove` raises BadArchiveError for one that is to be thrown away, and UnexpectedContentError for one that
    isn't, since it took long to come and the user may know better. Any other error of its ends the search.
    Raises XmcpipeError, with what to do by hand, where no mirror gives a good one.
    """
    folder = folder_of(dataset)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XmcpipeError(
            f"the cache can't be written: {error}", "name another folder with XMCPIPE_CACHE"
        ) from error
    with downloading(dataset):
        every = [Kept(folder, mirror) for mirror in dataset.mirrors]
        # one that is there already comes before one that may have to be waited for in vain
        for number, kept in enumerate(sorted(every, key=lambda each: not each.archive.is_file()), start=1):
            which = f"{dataset.title}: mirror {number} of {len(every)}"
            logger.info("%s, %s", which, _place(kept.mirror))
            try:
                return _try(dataset, kept, prove)
            except _FailedError as error:
                logger.warning("%s failed: %s", which, error)
    raise by_hand(dataset)


def by_hand(dataset: Dataset) -> XmcpipeError:
    """The one error that says what to fetch, from which page, and where to put it."""
    places = pages(dataset)
    return XmcpipeError(
        f"{dataset.title}: none of its {len(places)} mirrors gave it",
        f"fetch its archive with raw text by hand, from {dataset.page} or any of "
        f"{', '.join([*places, *dataset.folders])}, and name the file, or the folder it was unpacked to: "
        f"`xmcpipe download {dataset.name} --from PATH`, and for a whole recipe `xmcpipe run RECIPE --from "
        "PATH` or `make RECIPE ARGS='--from PATH'`",
    )


def pages(dataset: Dataset) -> list[str]:
    """Where a person finds each of its mirrors."""
    return [KINDS[mirror.kind].page(mirror.address) for mirror in dataset.mirrors]


class _FailedError(Exception):
    """This mirror failed."""


def _try(dataset: Dataset, kept: Kept, prove: Callable[[Path, str, Mirror], T]) -> T:
    try:
        archive, sha256 = kept.fetch()
    except XmcpipeError as error:
        raise _FailedError(str(error)) from error
    try:
        proved = prove(archive, sha256, kept.mirror)
    except BadArchiveError as error:
        kept.discard()
        raise _FailedError(str(error)) from error
    except UnexpectedContentError as error:
        raise _FailedError(f"{error}; to take it as it is: --from {archive}") from error
    kept.accept(dataset, sha256)
    return proved


def _place(mirror: Mirror) -> str:
    return str(KINDS[mirror.kind].page(mirror.address)).partition("?")[0]
