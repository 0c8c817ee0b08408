"""What a run over many volumes was given: files, folders and lists become items, each with a place of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from mr2ct.errors import OutputError, VolumeError
from mr2ct.many.text import one_line
from mr2ct.places import ONE_FILE
from mr2ct.reading import suffix_of

LIST_SIGN = "@"  # before the name of a list
PREAMBLE, MAGIC = 128, b"DICM"  # PS3.10, section 7.1
MOST_NAMED = 3  # of the places that two sources share


@dataclass(frozen=True)
class Item:
    """One MR and where its CT goes; picklable.

    id: the target below OUT_DIR, with "/" between folders; the same in every run, wherever OUT_DIR has moved.
    source: absolute; a volume file, or a folder with a DICOM series of one patient.  target: absolute; a volume file,
    or a folder for a CT series.
    """

    id: str
    source: Path
    target: Path


@dataclass(frozen=True)
class Source:
    """An MR, and what its CT is called.

    path: absolute.  name: of its CT below OUT_DIR.  root: the folder that it was found in, which was given, and which
    a next run would look through again; None for what was given itself.
    """

    path: Path
    name: PurePath
    root: Path | None = None


def is_many(arguments: Sequence[str], *, each: bool = False, series: bool = False) -> bool:
    """Whether arguments are a run over many volumes, and not the run of one.

    Many: several arguments, a list (@list.txt), a folder with volume files in it or in the folders in it, or each, see
    find_sources.  series: one series of the folder was named, so that it is the run of one whatever else lies there.
    """
    if len(arguments) != 1 or each or arguments[0].startswith(LIST_SIGN):
        return True
    folder = Path(arguments[0])
    return not series and folder.is_dir() and any(suffix_of(path) for path in _walk(folder))


def find_sources(arguments: Sequence[str], *, each: bool = False) -> tuple[Source, ...]:
    """The MRs of a run over many volumes, in the order they are made: as given, a folder's by name.

    A volume file is one, whether it is there or not: a missing one fails alone. Of a folder with volume files all of
    these are, its own and those of the folders in it; a folder without is one MR, as DICOM. each: every folder directly
    in a folder that was given is one MR, as DICOM. @LIST is a file with a path a line, relative to the list's folder,
    # before a comment; after a tab may follow where its CT goes below OUT_DIR. Hidden files are left out.

    The CT of a/head.nii.gz is a/head_sct.nii.gz, of the DICOM folder a/t1 the folder a/t1_sct: what a folder holds
    keeps its place in it, a file or list entry its relative path, an absolute path its name only.

    Raises VolumeError where there is nothing to do, a list cannot be read, or a folder holds volume files and DICOM.
    """
    sources = tuple(source for argument in arguments for source in _sources(argument, each=each))
    if not sources:
        raise VolumeError(f"{', '.join(map(one_line, arguments))}: no volume in it; nothing to do")
    return sources


def place_items(sources: Sequence[Source], out: Path) -> tuple[Item, ...]:
    """An item of each source, with its place below out.

    Raises OutputError where two CTs would have one place, or would lie among the MRs, from where a next run would take
    them.
    """
    root = Path(os.path.abspath(out))
    refuse_among(sources, root)
    items = tuple(Item(source.name.as_posix(), source.path, root / source.name) for source in sources)
    _refuse_shared(items)
    return items


def refuse_among(sources: Sequence[Source], place: Path) -> None:
    """Raise OutputError where a folder for volumes is one that holds MRs, or lies in one that is looked through."""
    real = place.resolve()
    for source in sources:
        held = {Path(os.path.abspath(source.path.parent)), source.path.resolve().parent}
        root = source.path if source.root is None else source.root
        if real in held or real.is_relative_to(root.resolve()):
            raise OutputError(
                f"{one_line(place)}: {one_line(source.path)} lies there, and a next run would take what is "
                "written for MRs; name a folder outside"
            )


def _sources(argument: str, *, each: bool) -> Iterator[Source]:
    if not argument.startswith(LIST_SIGN):
        yield from _of_path(Path(argument), Path(argument), each=each)
        return
    file = Path(argument[len(LIST_SIGN) :])
    for number, line in enumerate(_lines(file), 1):
        given, _, name = (part.strip() for part in line.partition("\t"))
        if not given or given.startswith("#"):
            continue
        found = list(_of_path(file.parent / given, Path(given), each=each))
        if name:
            wanted = PurePath(name)
            if len(found) != 1 or wanted.is_absolute() or ".." in wanted.parts or not wanted.name:
                raise VolumeError(
                    f"{one_line(file)}: line {number}: {one_line(name)!r} is no place below OUT_DIR for one CT; a "
                    "relative path without .. is one"
                )
            found = [replace(found[0], name=wanted)]
        yield from found


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise VolumeError(f"{one_line(file)}: the list cannot be read: {error.strerror}") from error
    if "\0" in text:
        raise VolumeError(f"{one_line(file)}: no list of paths, a line each, but binary; give a volume without the @")
    return text.split("\n")


def _of_path(path: Path, given: Path, *, each: bool) -> Iterator[Source]:
    """The MRs at a path. given: how it was written, which is where its CTs go."""
    path = Path(os.path.abspath(path))
    kept = Path(path.name) if given.is_absolute() or ".." in given.parts or not given.name else given
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


def _refuse_shared(items: Sequence[Item]) -> None:
    places: dict[str, list[Item]] = {}
    for item in items:
        places.setdefault(os.path.normcase(item.target), []).append(item)
    shared = [each for each in places.values() if len(each) > 1]
    if shared:
        told = "; ".join(
            f"{' and '.join(one_line(item.source) for item in each)} would both be {one_line(each[0].id)}"
            for each in shared[:MOST_NAMED]
        )
        more = f"; and {len(shared) - MOST_NAMED} more" if len(shared) > MOST_NAMED else ""
        raise OutputError(f"{told}{more}; give the folder they lie in, or a list with a name after a tab")
    mrs = {os.path.normcase(item.source.resolve()): item for item in items}
    for item in items:
        if os.path.normcase(item.target.resolve()) in mrs:
            raise OutputError(f"{one_line(item.target)}: an MR that was given, and a CT would be written over it")
        inside = next((above for above in item.target.parents if os.path.normcase(above) in places), None)
        if inside is not None:
            raise OutputError(f"{one_line(item.target)}: would lie in {one_line(inside.name)}, the CT of another MR")
