"""What a run over many volumes was given: files, folders, lists and URIs become MRs, each with a name for its CT."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

from mr2ct.errors import VolumeError
from mr2ct.many.text import one_line
from mr2ct.many.uri import Uri, is_uri
from mr2ct.places import ONE_FILE
from mr2ct.reading import suffix_of

LIST_SIGN = "@"  # before the name of a list
PREAMBLE, MAGIC = 128, b"DICM"  # PS3.10, section 7.1


@dataclass(frozen=True)
class Source:
    """An MR, and what its CT is called.

    path: absolute, or a URI.  name: of its CT below OUT_DIR.  root: the folder that it was found in, which was given,
    and which a next run would look through again; None for what was given itself.
    """

    path: Path | Uri
    name: PurePath
    root: Path | None = None


def is_many(arguments: Sequence[str], *, each: bool = False, series: bool = False) -> bool:
    """Whether arguments are a run over many volumes, and not the run of one.

    Many: several arguments, a URI, a list (@list.txt), a folder with volume files in it or in the folders in it, or
    each, see find_sources.  series: one series of the folder was named, so that it is the run of one whatever else lies
    there.
    """
    if len(arguments) != 1 or each or arguments[0].startswith(LIST_SIGN) or is_uri(arguments[0]):
        return True
    folder = Path(arguments[0])
    return not series and folder.is_dir() and any(suffix_of(path) for path in _walk(folder))


def find_sources(arguments: Sequence[str], *, each: bool = False) -> tuple[Source, ...]:
    """The MRs of a run over many volumes, in the order they are made: as given, a folder's by name.

    A volume file is one, whether it is there or not: a missing one fails alone. A URI is fetched when its turn comes,
    and a list may lie at one. Of a folder with volume files all of
    these are, its own and those of the folders in it; a folder without is one MR, as DICOM. each: every folder directly
    in a folder that was given is one MR, as DICOM. @LIST is a file with a path a line, relative to the list's folder,
    # before a comment; after a tab may follow where its CT goes below OUT_DIR. Hidden files are left out.

    The CT of a/head.nii.gz is a/head_sct.nii.gz, of the DICOM folder a/t1 the folder a/t1_sct: what a folder holds
    keeps its place in it, a file or list entry its relative path, an absolute path or a URI
    its name only.

    Raises VolumeError where there is nothing to do, a list cannot be read, or a folder holds volume files and DICOM.
    """
    sources = tuple(source for argument in arguments for source in _sources(argument, each=each))
    if not sources:
        raise VolumeError(f"{', '.join(map(one_line, arguments))}: no volume in it; nothing to do")
    return sources


def _sources(argument: str, *, each: bool) -> Iterator[Source]:
    if not argument.startswith(LIST_SIGN):
        yield from _at(argument, None, each=each)
        return
    named = argument[len(LIST_SIGN) :]
    file = Uri(named) if is_uri(named) else Path(named)
    for number, line in enumerate(_lines(file), 1):
        given, _, name = (part.strip() for part in line.partition("\t"))
        if not given or given.startswith("#"):
            continue
        found = list(_at(given, file, each=each))
        if name:
            wanted = PurePath(name)
            if len(found) != 1 or wanted.is_absolute() or ".." in wanted.parts or not wanted.name:
                raise VolumeError(
                    f"{one_line(file)}: line {number}: {one_line(name)!r} is no place below OUT_DIR for one CT; a "
                    "relative path without .. is one"
                )
            found = [replace(found[0], name=wanted)]
        yield from found


def _at(given: str, file: Path | Uri | None, *, each: bool) -> Iterator[Source]:
    """The MRs at what was given: a URI, or a path, relative to the folder of the list it was given in."""
    if is_uri(given):
        return _of_uri(Uri(given), Path(), each=each)
    if isinstance(file, Uri):
        return _of_uri(file.parent.below(PurePosixPath(given)), Path(given), each=each)
    return _of_path(Path(given) if file is None else file.parent / given, Path(given), each=each)


def _lines(file: Path | Uri) -> list[str]:
    try:
        content = file.read_bytes() if isinstance(file, Path) else _text_at(file)
    except OSError as error:
        raise VolumeError(f"{one_line(file)}: the list cannot be read: {error.strerror}") from error
    text = content.decode("utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise VolumeError(f"{one_line(file)}: no list of paths, a line each, but binary; give a volume without the @")
    return text.split("\n")


def _text_at(uri: Uri) -> bytes:
    from mr2ct.many.object_store import text_at

    return text_at(uri)


def _of_uri(uri: Uri, given: Path, *, each: bool) -> Iterator[Source]:
    """The MRs at a URI: a file by its suffix, without a look at it; of a folder its volume files, or one MR, as DICOM.

    given: see _of_path.
    """
    if each:
        raise VolumeError(
            f"{one_line(uri)}: --each looks through folders of this machine; list the series, a URI a line"
        )
    from mr2ct.many.object_store import files_below  # now: where fsspec is missing, it is told before any work

    kept = _kept(given, uri.name or "volume")
    if suffix_of(kept):
        yield Source(uri, _name(kept, series=False))
        return
    volumes = [file for file in files_below(uri) if suffix_of(Path(file))]
    if not volumes:
        yield Source(uri, _name(kept, series=True))
    for file in volumes:
        yield Source(uri.below(file), _name(Path(file), series=False))


def _of_path(path: Path, given: Path, *, each: bool) -> Iterator[Source]:
    """The MRs at a path. given: how it was written, which is where its CTs go."""
    path = Path(os.path.abspath(path))
    kept = _kept(given, path.name)
    if each:
        yield from _each(path)
        return
    if not path.is_dir():
        yield Source(path, _name(kept, series=not suffix_of(path)))
        return
    volumes = [file for file in _walk(path) if suffix_of(file)]
    if not volumes:
        yield Source(path, _name(kept, series=True))
        return
    dicom = next((file for file in _walk(path) if not suffix_of(file) and _is_dicom(file)), None)
    if dicom is not None:
        raise VolumeError(
            f"{one_line(path)}: holds volume files ({one_line(volumes[0].relative_to(path))}) and DICOM "
            f"({one_line(dicom.relative_to(path))}); name the files, or the folder of the series, or its --series UID"
        )
    for file in volumes:
        yield Source(file, _name(file.relative_to(path), series=False), path)


def _kept(given: Path, name: str) -> Path:
    """What the CT of a path is called by: the path as it was written, where that stays below a folder, or its name."""
    return Path(name) if given.is_absolute() or ".." in given.parts or not given.name else given


def _each(folder: Path) -> Iterator[Source]:
    """Every folder directly in a folder, as one MR."""
    if not folder.is_dir():
        raise VolumeError(f"{one_line(folder)}: no such folder; --each takes the folders in it, an MR series each")
    stray = next((path for path in _entries(folder) if path.is_file() and (suffix_of(path) or _is_dicom(path))), None)
    if stray is not None:
        raise VolumeError(f"{one_line(stray)}: lies beside the folders that --each takes; move it, or leave --each out")
    for path in _entries(folder):
        if path.is_dir():
            yield Source(path, _name(path.relative_to(folder), series=True), folder)


def _name(kept: Path, *, series: bool) -> PurePath:
    suffix = "" if series else suffix_of(kept)
    return kept.parent / f"{kept.name[: len(kept.name) - len(suffix)]}_sct{ONE_FILE.get(suffix, suffix)}"


def _entries(folder: Path) -> list[Path]:
    """What lies directly in a folder, hidden ones left out, by name."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise VolumeError(f"{one_line(folder)}: cannot be looked into: {error.strerror}") from error


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The files of a folder and the folders in it, links to nothing too, by name."""
    real = folder.resolve()
    if real in above:  # a link back up
        return
    for path in _entries(folder):
        if path.is_dir():
            yield from _walk(path, above | {real})
        else:
            yield path


def _is_dicom(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC
    except OSError:  # no volume file, so nobody asked for it
        return False
