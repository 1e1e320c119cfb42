"""Tries the mirrors of a dataset in order until one gives a valid archive.

Parallel runs share one download: the second one waits, and finds the archive in the cache.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from xmcpipe.data.fetch.archives import KINDS, CachedArchive, download_lock, folder_of
from xmcpipe.data.registry import Dataset, Mirror
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)
T = TypeVar("T")


class BadArchiveError(XmcpipeError):
    """A broken or hostile archive; another mirror may have a good one."""


class UnexpectedContentError(XmcpipeError):
    """A complete archive that can't be read or holds something else; another mirror may be right."""


def from_first_valid(dataset: Dataset, use: Callable[[Path, str, Mirror], T]) -> T:
    """The result of `use(archive, sha256, mirror)` for the first archive that it accepts.

    `use` raises BadArchiveError for an archive to delete, and UnexpectedContentError for one to keep, because
    the download took long and the user may want it as it is. Any other error ends the search. Raises
    XmcpipeError, with instructions for a manual download, if no mirror gives a valid archive.
    """
    folder = folder_of(dataset)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XmcpipeError(
            f"the cache can't be written: {error}", "set XMCPIPE_CACHE to another folder"
        ) from error
    with download_lock(dataset):
        every = [CachedArchive(folder, mirror) for mirror in dataset.mirrors]
        # Archives in the cache come first: a mirror may keep us waiting and then fail.
        for number, cached in enumerate(sorted(every, key=lambda each: not each.archive.is_file()), start=1):
            which = f"{dataset.title}: mirror {number} of {len(every)}"
            logger.info("%s, %s", which, _short_page(cached.mirror))
            try:
                return _try(dataset, cached, use)
            except _MirrorFailedError as error:
                logger.warning("%s failed: %s", which, error)
    raise manual_download_error(dataset)


def manual_download_error(dataset: Dataset) -> XmcpipeError:
    """The error that states what to download by hand, from which page, and where to put it."""
    pages = mirror_pages(dataset)
    return XmcpipeError(
        f"{dataset.title}: none of its {len(pages)} mirrors has a valid archive",
        f"download its archive with raw text by hand, from {dataset.page} or any of "
        f"{', '.join([*pages, *dataset.folders])}, and name the file, or the folder it was unpacked to: "
        f"`xmcpipe download {dataset.name} --from PATH`, or for a whole recipe `xmcpipe run RECIPE --from "
        "PATH` or `make RECIPE ARGS='--from PATH'`",
    )


def mirror_pages(dataset: Dataset) -> list[str]:
    """The page of each mirror where a person can download the archive."""
    return [KINDS[mirror.kind].page(mirror.address) for mirror in dataset.mirrors]


class _MirrorFailedError(Exception):
    """This mirror failed, and the next one is to be tried."""


def _try(dataset: Dataset, cached: CachedArchive, use: Callable[[Path, str, Mirror], T]) -> T:
    try:
        archive, sha256 = cached.fetch()
    except XmcpipeError as error:
        raise _MirrorFailedError(str(error)) from error
    try:
        result = use(archive, sha256, cached.mirror)
    except BadArchiveError as error:
        cached.discard()
        raise _MirrorFailedError(str(error)) from error
    except UnexpectedContentError as error:
        raise _MirrorFailedError(f"{error}; to use it as it is: --from {archive}") from error
    cached.accept(dataset, sha256)
    return result


def _short_page(mirror: Mirror) -> str:
    return str(KINDS[mirror.kind].page(mirror.address)).partition("?")[0]
