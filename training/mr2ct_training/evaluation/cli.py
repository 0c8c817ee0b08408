"""mr2ct-evaluate: synthetic CTs are measured against real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pairs", type=PATH, metavar="PAIRS.csv")
@click.option("--out", required=True, type=PATH, metavar="DIR", help="Where results and report go: a folder.")
@click.option(
    "--convention",
    type=click.Choice(["paper", "synthrad2023", "synthrad2025"]),
    default="paper",
    show_default=True,
    help="Whose PSNR and SSIM.",
)
@click.option("--resample", is_flag=True, help="Interpolate what is not on the reference's grid onto it.")
@click.option("--overwrite", is_flag=True, help="Replace the results that are there.")
@click.version_option(package_name="mr2ct")
def main(pairs: Path, out: Path, convention: str, resample: bool, overwrite: bool) -> None:
    """Measure synthetic CTs (HU) against CTs (HU) of the same patients, and methods against each other.

    PAIRS.csv has a row for each synthetic CT: patient, method, synthetic, reference and, if wanted, mask, mr and
    cycled_mr. Paths are absolute or relative to the table. Volumes are NIfTI, MetaImage or NRRD, all on the reference's
    grid.

    Measured is inside the mask; without one, inside the head that both the reference and the MR show, or, without an
    MR, the reference and the synthetic CT. Errors are synthetic - reference. Air, soft and bone are tissues of the
    reference: below -200, to 250 and above 250 HU. Jumps are between neighbouring sagittal slices.

    Two or more methods are compared on the patients they share: paired t-test, Wilcoxon, d_z, bootstrap interval.

    DIR gets report.html and table.md, which say the same; their pictures; and every number in results.json.

    Exit code: 0 done, 1 it cannot be done, 2 wrong usage, 130 stopped. Nothing is written unless all is measured.
    """
    from mr2ct.errors import Mr2ctError
    from mr2ct_training.evaluation.pairs import EvaluationError

    try:
        _run(pairs, out, convention, resample=resample, overwrite=overwrite)
    except (Mr2ctError, EvaluationError) as error:
        _refuse(str(error))
    except ModuleNotFoundError as error:
        _refuse(f"needs {error.name}: pip install 'mr2ct[training]'")
    except MemoryError:
        _refuse("out of memory")
    except KeyboardInterrupt:
        click.echo("mr2ct-evaluate: stopped; nothing was written", err=True)
        sys.exit(130)


def _refuse(line: str) -> None:
    click.echo(f"mr2ct-evaluate: {line}", err=True)
    sys.exit(1)


def _run(table: Path, out: Path, convention: str, *, resample: bool, overwrite: bool) -> None:
    from tqdm import tqdm

    from mr2ct_training.evaluation.conventions import CONVENTIONS
    from mr2ct_training.evaluation.evaluate import evaluate
    from mr2ct_training.evaluation.folder import check_folder, write
    from mr2ct_training.evaluation.pairs import Pair, read_pairs
    from mr2ct_training.evaluation.tables import comparison_tables, figures_table

    check_folder(out, overwrite=overwrite)
    pairs = read_pairs(table)
    chosen = next(each for name, each in CONVENTIONS.items() if name == convention)
    with tqdm(total=len(pairs), unit="row", leave=False, disable=None) as bar:

        def show(done: int, pair: Pair) -> None:
            bar.set_postfix_str(f"{pair.patient} {pair.method}", refresh=False)
            bar.update(done - bar.n)

        evaluation = evaluate(table, pairs, chosen, resample=resample, show=show)
    written = write(evaluation, out, overwrite=overwrite)
    for row in evaluation.rows:
        for note in row.notes:
            click.echo(f"note: {row.patient}, {row.method}: {note}", err=True)
    for note in evaluation.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(figures_table(evaluation))
    for comparison in comparison_tables(evaluation):
        click.echo(f"\n{comparison}")
    click.echo()
    for path in written:
        click.echo(path)


if __name__ == "__main__":
    main()
