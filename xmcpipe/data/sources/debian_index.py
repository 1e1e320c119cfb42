"""Fetches a Debian package index: with apt-get into a private folder, or over HTTPS without apt-get.

apt-get verifies the signature of the archive. It gets its own source list, lists and cache, so it needs no
privileges, and the lists of the system stay unchanged. Over HTTPS, the connection authenticates the Release
file, and the sha256 in that file authenticates each index. Both ways result in the same two files,
uncompressed: Packages and Translation-en.
"""

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.data.sources.debian_release import fetch_release
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress

Via = Literal["auto", "apt", "https"]
KEYRINGS = tuple(
    f"/usr/share/keyrings/{name}-archive-keyring.{ending}"
    for name in ("debian", "ubuntu")
    for ending in ("gpg", "pgp")
)
APT_MINUTES = 15


@dataclass(frozen=True)
class Index:
    """A fetched index: the file of packages, and the file of descriptions if these are in a separate one.

    `via` states how it was fetched: "apt-get" or "https".
    """

    packages: Path
    descriptions: Path | None
    via: str

    def sha256(self) -> str:
        """One sha256 over the bytes of both files."""
        parts = [sha256_of_file(path) for path in (self.packages, self.descriptions) if path]
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def fetch_index(mirror: str, suite: str, via: Via, folder: Path) -> Index:
    """Fetch the index of `suite` (component main, amd64) from `mirror`, a URL, into `folder`.

    With `via` auto, apt-get is used if it is installed, and HTTPS if it isn't installed or fails. Raises
    XmcpipeError with the errors of all ways that were tried.
    """
    if not re.fullmatch(r"(https?|file)://[^\s\[\]]+", mirror) or not re.fullmatch(r"[\w.+/-]+", suite):
        raise XmcpipeError(
            f"expected a URL as mirror and a name as suite, got {mirror!r} and {suite!r}",
            'for example mirror = "http://deb.debian.org/debian", suite = "bookworm"',
        )
    has_apt = shutil.which("apt-get") is not None
    if via == "apt" and not has_apt:
        raise XmcpipeError("apt-get is not installed", "set via = 'https'")
    if via == "https" or not has_apt:
        return _fetch_over_https(mirror, suite, folder)
    try:
        return _fetch_with_apt(mirror, suite, folder / "apt")
    except XmcpipeError as apt_error:
        if via == "apt":
            raise
        try:
            return _fetch_over_https(mirror, suite, folder)
        except XmcpipeError as error:
            raise XmcpipeError(f"{apt_error.message}; then {error.message}", error.hint) from error


def _fetch_with_apt(mirror: str, suite: str, folder: Path) -> Index:
    """Fetch the index with apt-get, into lists below `folder`. Raises XmcpipeError if apt-get fails."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    config = _write_apt_config(mirror, suite, folder)
    with progress("apt-get update", None, "steps"):
        try:
            finished = subprocess.run(
                ["apt-get", "-q", "-c", str(config), "update"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=60 * APT_MINUTES,
                env={"LC_ALL": "C", **_environment()},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise XmcpipeError(
                f"apt-get update took over {APT_MINUTES} minutes for {mirror}", "try another mirror"
            ) from error
    packages = next(iter(lists.glob("*_Packages")), None)
    if finished.returncode or packages is None:
        # The first warning or error names the cause.
        faults = [line for line in finished.stderr.splitlines() if line.startswith(("E:", "W:"))]
        fault = faults[0] if faults else "it wrote no package index"
        raise XmcpipeError(
            f"apt-get update failed for {mirror} {suite}: {fault}",
            "check the network, mirror and suite",
        )
    return Index(packages, next(iter(lists.glob("*_Translation-en")), None), "apt-get")


def _write_apt_config(mirror: str, suite: str, folder: Path) -> Path:
    """Write sources.list and apt.conf; apt reads the latter after the system's, so proxies still apply."""
    keyrings = [name for name in KEYRINGS if Path(name).is_file()]
    options = "arch=amd64 lang=en target=Packages,Translations"
    if mirror.startswith("file:"):
        options += " trusted=yes"  # the user's own folder
    elif keyrings:
        options += " signed-by=" + ",".join(keyrings)
    sources = folder / "sources.list"
    sources.write_text(f"deb [{options}] {mirror} {suite} main\n", encoding="utf-8")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "en",
        "Acquire::GzipIndexes": "false",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 30,
        "Acquire::https::Timeout": 30,
        "APT::Update::Error-Mode": "any",
        # By default, apt-get run by root switches to a user that can't write to this folder.
        "APT::Sandbox::User": "root",
    }
    # Hooks that the system has configured for its own updates must not run for this one.
    clear = [f"#clear APT::Update::{name};" for name in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")]
    lines = [*clear, "#clear Acquire::Languages;"]
    lines += [f'{key} "{value}";' for key, value in settings.items()]
    config = folder / "apt.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _environment() -> dict[str, str]:
    """The environment without variables that would change apt-get's messages or its configuration."""
    return {key: value for key, value in os.environ.items() if key not in ("LC_ALL", "APT_CONFIG")}


def _fetch_over_https(mirror: str, suite: str, folder: Path) -> Index:
    # The signature is not checked here, so only TLS authenticates the bytes.
    secure = re.sub("^http://", "https://", mirror)
    release = fetch_release(secure, suite)
    packages = release.fetch("main/binary-amd64/Packages", folder)
    if packages is None:
        raise XmcpipeError(f"{secure} {suite} has no main/binary-amd64/Packages", "check mirror and suite")
    return Index(packages, release.fetch("main/i18n/Translation-en", folder), "https")
