"""Tries the mirrors of a dataset in order until one has a valid archive.

Parallel runs share one download: the second run waits, and then finds the archive in the cache.
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
    """The error for a broken or hostile archive; another mirror may have a good one."""


class UnexpectedContentError(XmcpipeError):
    """The error for a complete archive with unexpected content; another mirror may have the right one."""


def from_first_valid(dataset: Dataset, use: Callable[[Path, str, Mirror], T]) -> T:
    """Call `use(archive, sha256, mirror)` for one mirror after another; returns the first result.

    `use` raises BadArchiveError or UnexpectedContentError to try the next mirror. After BadArchiveError, the
    archive is deleted. After UnexpectedContentError it is not, because the download took long and the user
    may want to use the archive anyway. Any other error ends the search. Raises XmcpipeError, with
    instructions for a manual download, if no mirror has a valid archive.
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
        # Archives in the cache come first, because an earlier mirror may be slow and then fail.
        ordered = sorted(every, key=lambda cached: not cached.archive.is_file())
        for number, cached in enumerate(ordered, start=1):
            attempt = f"{dataset.title}: mirror {number} of {len(every)}"
            logger.info("%s, %s", attempt, _short_page(cached.mirror))
            try:
                return _try(dataset, cached, use)
            except _MirrorFailedError as error:
                logger.warning("%s failed: %s", attempt, error)
    raise manual_download_error(dataset)


def manual_download_error(dataset: Dataset) -> XmcpipeError:
    """The error that explains which file to download by hand, from which pages, and how to use it."""
    pages = mirror_pages(dataset)
    return XmcpipeError(
        f"{dataset.title}: none of its {len(pages)} mirrors has a valid archive",
        f"download its archive with raw text by hand, from {dataset.page} or any of "
        f"{', '.join([*pages, *dataset.folders])}, and name the file, or the folder it was unpacked to: "
        f"`xmcpipe download {dataset.name} --from PATH`, or for a whole recipe `xmcpipe run RECIPE --from "
        "PATH` or `make RECIPE ARGS='--from PATH'`",
    )


def mirror_pages(dataset: Dataset) -> list[str]:
    """The URL of the page of each mirror, where a person can download the archive."""
    return [KINDS[mirror.kind].page(mirror.address) for mirror in dataset.mirrors]


class _MirrorFailedError(Exception):
    """The error for a mirror that failed: try the next one."""


def _try(dataset: Dataset, cached: CachedArchive, use: Callable[[Path, str, Mirror], T]) -> T:
    """The result of `use` for one mirror. Raises _MirrorFailedError if the next mirror should be tried."""
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
    """The page of a mirror without its query, which may contain a key."""
    return str(KINDS[mirror.kind].page(mirror.address)).partition("?")[0]
