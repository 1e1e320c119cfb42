"""Fetches a Debian package index: with apt-get into a folder of our own, or over HTTPS where there is none.

apt-get verifies the archive's signature. It is given its own source list, lists and cache, so that it needs
no rights and the system's lists stay as they are. Over HTTPS the connection vouches for the Release file, and
the sha256 that it names vouches for each index. Both ways end in the same two files: Packages and
Translation-en, uncompressed.
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
    """A fetched index: the packages' stanzas, and their descriptions where the mirror has them apart."""

    packages: Path
    descriptions: Path | None
    via: str

    def sha256(self) -> str:
        """One hash over both files' bytes."""
        parts = [sha256_of_file(path) for path in (self.packages, self.descriptions) if path]
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def fetch_index(mirror: str, suite: str, via: Via, folder: Path) -> Index:
    """The index of component main for amd64 of `suite` on `mirror` (a URL), in `folder`.

    `via` auto uses apt-get where it is installed, and HTTPS where it isn't or fails. Raises XmcpipeError with
    what went wrong on each way that was tried.
    """
    if not re.fullmatch(r"(https?|file)://[^\s\[\]]+", mirror) or not re.fullmatch(r"[\w.+/-]+", suite):
        raise XmcpipeError(
            f"mirror {mirror!r} and suite {suite!r} were given, a URL and a name were wanted",
            'such as mirror = "http://deb.debian.org/debian", suite = "bookworm"',
        )
    has_apt = shutil.which("apt-get") is not None
    if via == "apt" and not has_apt:
        raise XmcpipeError("there is no apt-get here", "via = 'https' does without it")
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
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    config = _write_apt_config(mirror, suite, folder)
    with progress("apt-get update", None, "steps"):
        try:
            done = subprocess.run(
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
    if done.returncode or packages is None:
        # the first line that isn't about our own folder says what failed
        faults = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
        raise XmcpipeError(
            f"apt-get update failed for {mirror} {suite}: {faults[0] if faults else 'no package index came'}",
            "check the network, mirror and suite",
        )
    return Index(packages, next(iter(lists.glob("*_Translation-en")), None), "apt-get")


def _write_apt_config(mirror: str, suite: str, folder: Path) -> Path:
    """Write sources.list and apt.conf; the latter is read after the system's, so that proxies still apply."""
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
        # root's apt-get would drop to a user who may not write here
        "APT::Sandbox::User": "root",
    }
    # what the system does after its own updates is not to be done after this one
    clear = [f"#clear APT::Update::{name};" for name in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")]
    lines = [*clear, "#clear Acquire::Languages;"]
    lines += [f'{key} "{value}";' for key, value in settings.items()]
    config = folder / "apt.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("LC_ALL", "APT_CONFIG")}


def _fetch_over_https(mirror: str, suite: str, folder: Path) -> Index:
    # without a checked signature only TLS stands for the bytes
    secure = re.sub("^http://", "https://", mirror)
    release = fetch_release(secure, suite)
    packages = release.fetch("main/binary-amd64/Packages", folder)
    if packages is None:
        raise XmcpipeError(f"{secure} {suite} lists no main/binary-amd64/Packages", "check mirror and suite")
    return Index(packages, release.fetch("main/i18n/Translation-en", folder), "https")
