"""mr2ct-mercure: a processing module of mercure, which hands over a folder and takes one back.

https://mercure-imaging.org/docs/modules.html: DICOM files of one series or a whole study lie in MERCURE_IN_DIR, what
was made goes to MERCURE_OUT_DIR as SERIES_UID#FILE.dcm, and an exit code other than 0 is a failure.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from pydicom import dcmread

from mr2ct.choosing import PRECISIONS, QUALITIES
from mr2ct.device_option import device_option
from mr2ct.errors import Mr2ctError, OutputError, VolumeError
from mr2ct.node.identity import MR_SOP_CLASSES, Identity, identity_of
from mr2ct.node.storing import dicom_files
from mr2ct.node.telling import log_to_stderr, one_line, without_patient
from mr2ct.node.working import Synthesise

RESULT = "result.json"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MR2CT"})
@click.option("--in-dir", type=FOLDER, envvar="MERCURE_IN_DIR", show_envvar=True, required=True, help="MR series.")
@click.option("--out-dir", type=FOLDER, envvar="MERCURE_OUT_DIR", show_envvar=True, required=True, help="For the CTs.")
@click.option("--model", type=click.Path(path_type=Path), help="A model folder or the name of a model.")
@device_option
@click.option("--precision", type=click.Choice(PRECISIONS), default="auto", help="Which graph to run.")
@click.option("--quality", type=click.Choice(QUALITIES), default="standard", help="As for mr2ct-run.")
@click.option("--unmarked", is_flag=True, help="Leave SyntheticData (0008,001C) out of the CT.")
def main(in_dir: Path, out_dir: Path, unmarked: bool, **engine: Any) -> None:
    """Make a synthetic CT of each MR series in a folder, as a module of mercure.

    Every option is an environment variable too: MR2CT_MODEL, MR2CT_DEVICE, ... OUT_DIR/result.json says what became of
    each series. Exit code: 0 when a CT was made, else the first refusal's, as of mr2ct-run. Research only.
    """
    log_to_stderr(verbose=False)
    from mr2ct.node.synthesising import warm_engine  # wrong usage need not wait for an engine's libraries

    try:
        with warm_engine(mark_synthetic=not unmarked, **engine) as synthesise:
            make_all(in_dir, out_dir, synthesise)
    except Mr2ctError as error:
        click.echo(f"mr2ct-mercure: {error}", err=True)
        sys.exit(error.exit_code)


def make_all(in_dir: Path, out_dir: Path, synthesise: Synthesise) -> list[dict[str, Any]]:
    """Make a CT of each MR series; return what result.json says of each. Series of two patients are two series.

    A study has series that no CT can be made of, localizers say: their reasons stand in result.json. Raises the first
    one's error when no CT was made at all, and OutputError when nothing can be written.
    """
    told: list[dict[str, Any]] = []
    first: Mr2ctError | None = None
    for identity, files in series_in(in_dir):
        try:
            told.append({"mr": identity.series, "ct": _make_one(files, out_dir, synthesise), "instances": len(files)})
        except VolumeError as error:
            reason = without_patient(str(error), files[0])
            told.append({"mr": identity.series, "refused": reason})
            first = first or type(error)(reason)
            click.echo(f"mr2ct-mercure: series {identity.series}: {reason}", err=True)
    try:
        (out_dir / RESULT).write_text(json.dumps({"series": told}, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out_dir / RESULT}: cannot be written: {error.strerror}") from error
    if not any("ct" in one for one in told):
        raise first or VolumeError(f"{in_dir}: no MR series in it")
    return told


def series_in(folder: Path) -> list[tuple[Identity, list[Path]]]:
    """The MR series in a folder, by patient, study and series; what is no DICOM file or no MR is passed over."""
    found: dict[str, tuple[Identity, list[Path]]] = {}
    for file in dicom_files(folder):
        try:
            header = dcmread(file, stop_before_pixels=True)
            if header.get("SOPClassUID") not in MR_SOP_CLASSES:
                continue
            identity = identity_of(header)
        except Mr2ctError as error:
            raise VolumeError(f"{one_line(file.name)}: {error}") from error
        except Exception as error:  # whatever a parser does with any bytes; its text may quote a patient's name
            raise VolumeError(f"{one_line(file.name)}: cannot be parsed ({type(error).__name__})") from error
        found.setdefault(identity.key, (identity, []))[1].append(file)
    return list(found.values())


def _make_one(files: list[Path], out_dir: Path, synthesise: Synthesise) -> str:
    """Make one CT and put it into out_dir; its SeriesInstanceUID."""
    with tempfile.TemporaryDirectory(prefix="mr2ct-") as scratch:
        mr, ct = Path(scratch) / "mr", Path(scratch) / "ct"
        mr.mkdir()
        for number, file in enumerate(files):
            (mr / f"{number:05}.dcm").symlink_to(file.resolve())
        synthesise(mr, ct)
        series = ""
        for file in dicom_files(ct):
            header = dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SOPInstanceUID"])
            series = str(header.SeriesInstanceUID)
            try:
                shutil.copyfile(file, out_dir / f"{series}#{header.SOPInstanceUID}.dcm")
            except OSError as error:
                raise OutputError(f"{out_dir}: cannot be written: {error.strerror}") from error
        return series
