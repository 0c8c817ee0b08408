"""PAIRS.csv, and each way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct_training.evaluation.pairs import EvaluationError, read_pairs

HEADER = "patient,method,synthetic,reference,mask,mr"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("s.nii", "s2.nii", "r.nii", "r2.nii", "m.nii", "sub/mr.nii"):
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, *lines: str) -> list[tuple[str, str]]:
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [(pair.patient, pair.method) for pair in read_pairs(path)]


def test_paths_are_absolute_or_from_the_tables_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    table = folder / "pairs.csv"
    table.write_text(f"{HEADER}\nanna,a,s.nii,{folder / 'r.nii'},,sub/mr.nii\n", encoding="utf-8")
    (pair,) = read_pairs(table)
    assert (pair.synthetic, pair.reference) == (folder / "s.nii", folder / "r.nii")
    assert pair.mask is None and pair.mr == folder / "sub" / "mr.nii" and pair.cycled_mr is None
    assert pair.where == f"{table}, line 2 (patient anna, method a)"


def test_tables_of_spreadsheets_are_read(folder: Path) -> None:
    """A byte order mark, blanks, short rows, columns in another order and ones we do not know."""
    lines = (
        "\ufeffmethod, patient ,reference,synthetic,remark,mask",
        " a , anna ,r.nii, s.nii ,fine,",
        "b,anna,r.nii,s2.nii",
    )
    assert read(folder, *lines) == [("anna", "a"), ("anna", "b")]


def test_the_same_reference_may_be_written_in_two_ways(folder: Path) -> None:
    rows = ["anna,a,s.nii,r.nii,,", f"anna,b,s2.nii,{folder / 'sub' / '..' / 'r.nii'},,"]
    assert len(read(folder, HEADER, *rows)) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["patient,method,synthetic", "anna,a,s.nii"], "pairs.csv: no column reference; needed"),
        ([HEADER], "pairs.csv: no rows"),
        (
            ["patient,method,synthetic,reference,patient", "a,b,s.nii,r.nii,a"],
            "pairs.csv: column 'patient' is there twice",
        ),
        ([HEADER, "anna,a,s.nii,r.nii,,,,"], "pairs.csv, line 2: more cells than there are columns"),
        ([HEADER, "anna,,s.nii,r.nii,,"], "line 2 (patient anna, method ?): method empty"),
        ([HEADER, "anna,a,,r.nii,,"], "line 2 (patient anna, method a): synthetic empty"),
        ([HEADER, "anna,a,s.nii,r.nii,,", "bob,a,none.nii,r.nii,,"], "line 3 (patient bob, method a): synthetic "),
        ([HEADER, "anna,a,s.nii,none.nii,,"], "none.nii: no such file"),
        ([HEADER, "anna,a,s.nii,r.nii,none.nii,"], "line 2 (patient anna, method a): mask "),
        ([HEADER, "anna,a,s.nii,r.nii,,sub"], "sub: a folder"),
        ([HEADER, f"anna,a,{'s' * 300}.nii,r.nii,,"], "s.nii: File name too long"),
        ([f"{HEADER},cycled_mr", "anna,a,s.nii,r.nii,,,m.nii"], "(patient anna, method a): cycled_mr without mr"),
        ([HEADER, "anna,a,r.nii,r.nii,,"], "synthetic and reference are the same file"),
        (
            [HEADER, "anna,a,s.nii,r.nii,,", "anna,a,s2.nii,r.nii,,"],
            "line 3 (patient anna, method a): this patient and me",
        ),
        (
            [HEADER, "anna,a,s.nii,r.nii,,", "anna,b,s2.nii,r2.nii,,"],
            "line 3 (patient anna, method b): reference r2.nii",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_its_row(folder: Path, lines: list[str], message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        read(folder, *lines)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    for name, content in (("latin.csv", b"patient,m\xe9thod\n"), ("quote.csv", b'patient\n"' + b"a" * 200_000)):
        (tmp_path / name).write_bytes(content)
    for name in ("latin.csv", "quote.csv", "nowhere.csv", "."):
        with pytest.raises(EvaluationError, match="cannot be read as a table"):
            read_pairs(tmp_path / name)
