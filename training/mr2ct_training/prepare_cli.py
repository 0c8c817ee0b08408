"""mr2ct-prepare: volumes become a data set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mr2ct_training.prepare import Prepared, Source
    from mr2ct_training.prepare_volume import Settings

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--mr", "mrs", multiple=True, required=True, type=PATH, help="An MR or a folder of MRs; repeat for more.")
@click.option("--ct", "cts", multiple=True, required=True, type=PATH, help="A CT or a folder of CTs; repeat for more.")
@click.option("--out", required=True, type=PATH, help="The data set: a folder, new or to be completed.")
@click.option("--patients", type=PATH, metavar="CSV", help="Who is who: columns file, patient and, if wanted, split.")
@click.option("--validation", multiple=True, metavar="PATIENT", help="Hold out this patient; repeat for more.")
@click.option("--register", is_flag=True, help="Lay each CT onto the MR of the same patient, rigidly.")
@click.option("--aligned", is_flag=True, help="Each CT lies on the MR of the same patient already.")
@click.option("--mr-percentile", nargs=2, type=float, metavar="LOW HIGH", help="Percentiles of the head as MR window.")
@click.option("--head-slices-only", is_flag=True, help="Leave out the outer slices, which hold no head.")
@click.version_option(package_name="mr2ct")
def main(
    mrs: tuple[Path, ...],
    cts: tuple[Path, ...],
    out: Path,
    patients: Path | None,
    validation: tuple[str, ...],
    register: bool,
    aligned: bool,
    mr_percentile: tuple[float, float] | None,
    head_slices_only: bool,
) -> None:
    """Make a data set for mr2ct-train out of T1-weighted MRs and CTs (HU) of heads, unpaired or of the same patients.

    Volumes are NIfTI, MetaImage or NRRD. Each becomes sagittal slices of 256 x 256 pixels, the very slices that
    mr2ct-run will make of an MR, 8 bits a pixel. In a CT, couch, head rest and mask become air.

    The file's name without its suffix is the patient. mr/anna.nii.gz and ct/anna.nii.gz are both anna's, --patients
    tells of other names; its files are names, or ends of paths.

    Held out for validation are whole patients: those of --validation, or of the split column (train, validation). Else
    the last quarter of the MR patients by name, at least one, and their CTs; of fewer than three MR patients, none.

    The MR window is 0 to 3500, the paper's, unless --mr-percentile is given; 0 99.5 fits every scanner.

    Run again, it makes only what is missing or was made otherwise. Exit code: 0 done, 1 it cannot be done, 2 wrong
    usage, 130 stopped.
    """
    if register and aligned:
        raise click.UsageError("--register lays CTs onto MRs, --aligned says they lie there: give one of them")
    if mr_percentile is not None and not 0 <= mr_percentile[0] < mr_percentile[1] <= 100:
        raise click.UsageError("--mr-percentile takes two numbers from 0 to 100, the lower first")
    from mr2ct.card import PercentileWindow
    from mr2ct.errors import VolumeError
    from mr2ct_training.dataset import DatasetError
    from mr2ct_training.prepare_patients import sources_of
    from mr2ct_training.prepare_volume import Settings
    from mr2ct_training.registration import RegistrationError

    settings = Settings(
        pairing="register" if register else "aligned" if aligned else "none", head_slices_only=head_slices_only
    )
    if mr_percentile is not None:
        settings = replace(settings, mr_window=PercentileWindow(*mr_percentile))
    try:
        _run(sources_of(mrs, cts, patients, validation), settings, out)
    except (VolumeError, DatasetError, RegistrationError) as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.filename or out}: not written: {error.strerror or error}")
    except MemoryError:
        _refuse("out of memory")
    except KeyboardInterrupt:
        click.echo("mr2ct-prepare: stopped; the same command goes on from here", err=True)
        sys.exit(130)


def _refuse(line: str) -> None:
    click.echo(f"mr2ct-prepare: {line}", err=True)
    sys.exit(1)


def _run(sources: Sequence[Source], settings: Settings, out: Path) -> None:
    from tqdm import tqdm

    from mr2ct_training.dataset import SPLITS
    from mr2ct_training.prepare import prepare

    for split in SPLITS:
        names = sorted({source.patient for source in sources if source.split == split})
        click.echo(f"{split}: {', '.join(names) or 'nobody'}")
    with tqdm(total=len(sources), unit="volume", leave=False, disable=None) as bar:

        def show(done: int, source: Source) -> None:
            bar.set_postfix_str(source.path.name, refresh=False)
            bar.update(done - bar.n)

        prepared = prepare(sources, settings, out, show)
    for one in prepared:
        for note in one.notes:
            click.echo(f"note: {note}", err=True)
    click.echo(_table(prepared))
    click.echo(str(out))


def _table(prepared: Sequence[Prepared]) -> str:
    """A line a volume."""
    rows = [("patient", "", "split", "slices", "-1 to 1 is", "")]
    for one in prepared:
        entry = one.entry
        unit = " HU" if entry.modality == "ct" else ""
        done = "kept" if one.kept else "made"
        if entry.registration:
            done += f", {entry.registration['method']}"
        limits = f"{entry.limits[0]:g} to {entry.limits[1]:g}{unit}"
        rows.append((entry.patient, entry.modality.upper(), entry.split, str(entry.slices), limits, done))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    main()
