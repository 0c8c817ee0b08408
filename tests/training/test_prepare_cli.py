"""mr2ct-prepare from the command line, on files."""

from __future__ import annotations

import resource
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from drawn_volumes import COARSE, draw_volumes
from mr2ct.card import PercentileWindow
from mr2ct.reading import read_volume
from mr2ct.volume import Volume
from mr2ct.writing import write_volume
from mr2ct_training import prepare, prepare_volume
from mr2ct_training.dataset import MANIFEST, Dataset, DatasetError
from mr2ct_training.prepare_cli import main
from mr2ct_training.prepare_volume import Settings


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = draw_volumes(tmp_path_factory.mktemp("volumes"))
    (folder / "empty").mkdir()
    (folder / "cut.nii.gz").write_bytes((folder / "ct" / "dora.nii.gz").read_bytes()[:50_000])
    return folder


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of a sixteenth of the paper's pixels, four times as far apart."""
    monkeypatch.setattr(prepare_volume, "Settings", partial(Settings, slices=COARSE.slices))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """The one line that a refusal is told in."""
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    lines = [line for line in result.output.splitlines() if not line.startswith(("train: ", "validation: "))]
    assert len(lines) == 1 and lines[0].startswith("mr2ct-prepare: ")
    return lines[0]


@pytest.mark.usefixtures("coarse")
def test_the_command_makes_a_data_set_and_then_keeps_it(volumes: Path, tmp_path: Path) -> None:
    arguments = ["--mr", volumes / "mr", "--ct", volumes / "ct", "--out", tmp_path, "--mr-percentile", 0, 99.5]
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "train: anna, bob, dora\nvalidation: carl\n" in first.output
    rows = {tuple(line.split()[:2]): line for line in first.output.splitlines() if line.endswith("made")}
    assert set(rows) == {("anna", "MR"), ("bob", "MR"), ("carl", "MR"), ("anna", "CT"), ("dora", "CT")}
    assert "-600 to 1400 HU" in rows["anna", "CT"] and "validation" in rows["carl", "MR"]
    assert first.output.endswith(f"{tmp_path}\n")
    assert Dataset(tmp_path).manifest.mr_window == PercentileWindow(0.0, 99.5)
    second = run(*arguments)
    assert second.exit_code == 0 and second.output.count("kept") == 5 and "made" not in second.output


@pytest.mark.usefixtures("coarse")
def test_files_a_table_and_aligned_pairs_make_a_data_set(volumes: Path, tmp_path: Path) -> None:
    (tmp_path / "who.csv").write_text("file,patient,split\nt1.nii,P1,train\nanna.nii.gz,P1,train\n", encoding="utf-8")
    mr = read_volume(volumes / "mr" / "anna.nii.gz")
    write_volume(Volume(mr.voxels // 8, mr.grid), tmp_path / "t1.nii")
    pair = ["--mr", tmp_path / "t1.nii", "--ct", volumes / "ct" / "anna.nii.gz"]
    options = ["--patients", tmp_path / "who.csv", "--aligned", "--head-slices-only"]
    done = run(*pair, *options, "--out", tmp_path / "d")
    assert done.exit_code == 0, done.output
    of_mr, of_ct = Dataset(tmp_path / "d").manifest.entries
    assert of_mr.patient == of_ct.patient == "P1" and of_mr.slices == of_ct.slices < 47
    assert of_ct.registration is not None and "made, as the files lie" in done.output
    assert "validation: nobody" in done.output
    assert f"note: {tmp_path / 't1.nii'}: its brightest tissue" in done.output


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(volumes: Path, tmp_path: Path) -> None:
    one = ["--mr", volumes / "mr" / "bob.nii.gz", "--ct", volumes / "ct" / "dora.nii.gz", "--out", tmp_path / "d"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        line = refused(run(*one))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert line.endswith("mr-bob.npy: not written: File too large")
    assert not list((tmp_path / "d").iterdir())
    assert run(*one).exit_code == 0
    assert Dataset(tmp_path / "d").slices("ct", "train").pixels[0].shape == (224, 256, 256)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("mr", "ct", "others", "message"),
    [
        ("ct/dora.nii.gz", "ct/anna.nii.gz", [], "dora.nii.gz: this is a CT"),
        ("mr/anna.nii.gz", "mr/bob.nii.gz", [], "bob.nii.gz: this is no CT in HU"),
        ("mr/zoe.nii.gz", "ct", [], "zoe.nii.gz: cannot be read: No such file"),
        ("mr", "empty", [], "empty: no volume in this folder"),
        ("mr", "ct", ["--validation", "zoe"], "--validation zoe: no such patient; there are anna, bob, carl, dora"),
        ("mr/anna.nii.gz", "ct", ["--validation", "anna"], "no MR in the train split"),
        ("mr", "ct/anna.nii.gz", ["--validation", "anna"], "no CT in the train split"),
        ("mr/bob.nii.gz", "ct", ["--register"], "no patient has both an MR and a CT"),
        ("mr/anna.nii.gz", "moved/anna.mha", ["--aligned"], "anna.mha: not aligned with its MR"),
        ("mr/bob.nii.gz", "cut.nii.gz", [], "cut.nii.gz: "),
        ("mr", "ct", ["--patients", "nowhere.csv"], "nowhere.csv: cannot be read as a table: No such file"),
    ],
)
def test_what_cannot_be_a_data_set_is_told_in_one_line(
    volumes: Path, tmp_path: Path, mr: str, ct: str, others: list[str], message: str
) -> None:
    line = refused(run("--mr", volumes / mr, "--ct", volumes / ct, "--out", tmp_path / "d", *others))
    assert message in line
    with pytest.raises(DatasetError):
        Dataset(tmp_path / "d")


def test_a_stopped_run_says_how_to_go_on(volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "see_mr", stop)
    result = run("--mr", volumes / "mr", "--ct", volumes / "ct", "--out", tmp_path)
    assert result.exit_code == 130
    assert "mr2ct-prepare: stopped; the same command goes on from here" in result.output


def test_a_place_that_cannot_be_written_is_told(volumes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused(run("--mr", volumes / "mr", "--ct", volumes / "ct", "--out", tmp_path / "file"))
    assert line == f"mr2ct-prepare: {tmp_path / 'file'}: not written: File exists"


@pytest.mark.parametrize(
    "arguments",
    [["--register", "--aligned"], ["--mr-percentile", "99", "1"], ["--mr-percentile", "0", "101"], ["--nonsense"]],
)
def test_wrong_usage_ends_with_2(volumes: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert run("--mr", volumes, "--ct", volumes, "--out", tmp_path, *arguments).exit_code == 2


@pytest.mark.parametrize("missing", ["--mr", "--ct", "--out"])
def test_mr_ct_and_out_are_needed(missing: str) -> None:
    given = {"--mr": "a.nii", "--ct": "b.nii", "--out": "d"}
    result = run(*(word for name, value in given.items() if name != missing for word in (name, value)))
    assert result.exit_code == 2 and missing in result.output


@pytest.mark.heads
def test_real_heads_become_a_data_set(heads: Path, tmp_path: Path) -> None:
    ct, mr = heads / "ct" / "headneck_planning.nii.gz", heads / "mr" / "seg3d.nii.gz"
    done = run("--mr", mr, "--ct", ct, "--out", tmp_path, "--mr-percentile", 0, 99.5)
    assert done.exit_code == 0, done.output
    data = Dataset(tmp_path)
    for slices, count in ((data.slices("mr", "train"), 160), (data.slices("ct", "train"), 280)):
        pixels, head = np.array(slices.pixels[0]), np.stack([slices.head(n) for n in range(len(slices))])
        assert len(slices) == count and 0.05 < head.mean() < 0.5
        assert pixels[head].mean() > 5 * pixels[~head].mean()
    assert (tmp_path / MANIFEST).is_file()
