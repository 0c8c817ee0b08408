"""The UIDs that mr2ct makes: of content, so that the same content has the same UID and no other content has it.

A UID is 2.25 and a UUID as a decimal number, which needs no registered root (PS3.5, B.2).
"""

from __future__ import annotations

import uuid

from pydicom.uid import UID

import mr2ct

UUID_ROOT = "2.25"
NAMESPACE = uuid.UUID("8a6d497b-b373-40c3-98c5-be1d59f9911d")  # drawn once; another one makes other UIDs of everything

# who wrote a file, in its meta information; PS3.7, D.3.3.2. Drawn once too: mr2ct knows its own files by it.
IMPLEMENTATION_CLASS_UID = UID(f"{UUID_ROOT}.{uuid.UUID('48fa4819-8eca-4c8e-9d9f-02f31a5c839d').int}")
IMPLEMENTATION_VERSION_NAME = f"MR2CT_{mr2ct.__version__}"[:16]  # SH holds 16 characters


def uid_of(content: str) -> UID:
    """The UID of a text that names what is identified, a hash of it say: a name-based UUID (RFC 9562, version 5)."""
    return UID(f"{UUID_ROOT}.{uuid.uuid5(NAMESPACE, content).int}")
