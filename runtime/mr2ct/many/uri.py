"""MRs that lie in an object store or on a server, by their URI: s3://bucket/head.nii.gz."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # RFC 3986, section 3.1; one letter is a drive of Windows


@dataclass(frozen=True)
class Uri:
    """Where an MR, or a folder of MRs, is fetched from; picklable. text: as fsspec takes it, a password and all."""

    text: str

    def __str__(self) -> str:
        """What may be told and written down: without user, password, query and fragment."""
        scheme, rest = self.text.split("://", 1)
        server, slash, path = _without_query(scheme, rest).partition("/")
        return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}"

    @property
    def name(self) -> str:
        """The last part of its path; "" of a server alone."""
        scheme, rest = self.text.split("://", 1)
        return PurePosixPath(_without_query(scheme, rest).partition("/")[2]).name

    def below(self, relative: PurePosixPath) -> Uri:
        """What lies in this folder, there."""
        return Uri(f"{self.text.rstrip('/')}/{relative}")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of it may not be told: user and password, and a query, which may be signed."""
        scheme, rest = self.text.split("://", 1)
        shown = _without_query(scheme, rest)
        user = shown.partition("/")[0].rpartition("@")[0]
        return tuple(secret for secret in (user, rest[len(shown) + 1 :]) if secret)

    @property
    def parent(self) -> Uri:
        """The folder it lies in."""
        return Uri(self.text.rstrip("/").rpartition("/")[0])


def is_uri(text: str) -> bool:
    """Whether text is a URI and no path."""
    return URI.match(text) is not None


def _without_query(scheme: str, rest: str) -> str:
    """Names of objects may have ? and # in them, those of web pages do not."""
    return re.split(r"[?#]", rest, maxsplit=1)[0] if scheme.lower() in ("http", "https") else rest
