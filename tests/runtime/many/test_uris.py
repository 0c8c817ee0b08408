"""MRs that lie on a server: listed, fetched and told of, as somebody with an object store calls it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePath

import pytest

from mr2ct.many.listing import find_sources, is_many
from mr2ct.many.stamp import at_hand, stamp_of
from mr2ct.many.uri import Uri, is_uri
from mr2ct.model import Model
from runtime.dicom.drawn_series import write_series
from runtime.many.archive import GRID, coarse_model, entry, files, head, put, run, states


class Silent(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return coarse_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder of heads, and where a web server has it."""
    folder = tmp_path_factory.mktemp("served")
    put(folder / "one.nii.gz", 1)
    put(folder / "b" / "two.mha", 2)
    (folder / "list.txt").write_text("one.nii.gz\n# all there is\nb/two.mha\nb/three.nii.gz\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_of_a_list_on_a_server_the_cts_are_those_of_the_files(
    served: tuple[Path, str], model: Model, tmp_path: Path
) -> None:
    folder, address = served
    result = run(f"@{address}/list.txt", "-o", tmp_path / "out", "--model", model.folder)
    assert result.exit_code == 8, result.output
    assert states(tmp_path / "out") == {
        "one_sct.nii.gz": "done",
        "b/two_sct.mha": "done",
        "b/three_sct.nii.gz": "failed",
    }
    assert entry(tmp_path / "out", "b/three_sct.nii.gz").reason == "cannot be fetched: no such file"
    assert f"{address}/b/three.nii.gz: failed: cannot be fetched: no such file" in result.stderr
    plain = run(folder, "-o", tmp_path / "plain", "--model", model.folder)
    assert plain.exit_code == 0, plain.output
    assert {name: told[0] for name, told in files(tmp_path / "out").items()} == {
        name: told[0] for name, told in files(tmp_path / "plain").items()
    }
    assert entry(tmp_path / "out", "one_sct.nii.gz").source == f"{address}/one.nii.gz"
    (folder / "b" / "three.nii.gz").write_bytes((folder / "one.nii.gz").read_bytes())
    again = run(f"@{address}/list.txt", "-o", tmp_path / "out", "--model", model.folder)
    assert again.exit_code == 0, again.output
    assert again.stdout.startswith("1 of 3 volumes")
    put(folder / "one.nii.gz", 4)  # a server that tells no time: its bytes are looked at
    assert run(f"@{address}/list.txt", "-o", tmp_path / "out", "--model", model.folder).stdout.startswith(
        "1 of 3 volumes"
    )


def test_a_folder_at_a_uri_gives_its_volume_files_and_one_without_is_a_series(tmp_path: Path) -> None:
    for name in ("b/two.mha", "one.nii.gz", ".hidden/three.nii", "notes.txt"):
        put(tmp_path / "mr" / name) if "notes" not in name else (tmp_path / "mr" / name).write_text("none")
    uri = f"file://{tmp_path}/mr"
    assert is_many([uri])
    sources = find_sources([uri])
    assert [(str(source.path), source.name) for source in sources] == [
        (f"{uri}/b/two.mha", PurePath("b/two_sct.mha")),
        (f"{uri}/one.nii.gz", PurePath("one_sct.nii.gz")),
    ]
    write_series(tmp_path / "t1", GRID)
    (series,) = find_sources([f"file://{tmp_path}/t1"])
    assert series.name == PurePath("t1_sct")
    with at_hand(series.path) as copy:
        assert copy != tmp_path / "t1"
        assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in (tmp_path / "t1").iterdir())
    assert not copy.exists()


def test_a_series_at_a_uri_becomes_one(tmp_path: Path, model: Model) -> None:
    write_series(tmp_path / "t1", head().grid, head().voxels)
    result = run(
        f"file://{tmp_path}/t1", "-o", tmp_path / "out", "--model", model.folder, "--report", tmp_path / "pages"
    )
    assert result.exit_code == 0, result.output
    alone = run(tmp_path / "t1", "-o", tmp_path / "alone", "--model", model.folder)
    assert alone.exit_code == 0, alone.output
    assert sorted(told[0] for told in files(tmp_path / "out").values()) == sorted(
        told[0] for told in files(tmp_path / "alone").values()
    )
    assert f"file://{tmp_path}/t1" in (tmp_path / "pages" / "t1_sct.html").read_text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nosuch://bucket/mr", "nosuch"),
        ("file:///no/such/folder", "no such folder"),
        ("http://127.0.0.1:9/mr/", "cannot be listed"),
        ("@http://127.0.0.1:9/list.txt", "cannot be read"),
    ],
)
def test_what_cannot_be_listed_is_told_at_the_start_in_a_line(
    given: str, words: str, model: Model, tmp_path: Path
) -> None:
    result = run(given, "-o", tmp_path / "out", "--model", model.folder)
    assert result.exit_code == 3, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"mr2ct-run: {given.removeprefix('@').rstrip('/')}")
    assert words in line
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_a_copy_is_told_of_the_uri_and_alike_for_all(model: Model, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"no volume")
    given = [f"file://{tmp_path}/{name}.nii.gz" for name in ("one", "two")]
    result = run(*given, "-o", tmp_path / "out", "--model", model.folder)
    assert result.exit_code == 8, result.output
    assert "mr2ct-fetched" not in result.output
    first, second = (entry(tmp_path / "out", f"{name}_sct.nii.gz").reason for name in ("one", "two"))
    assert first == second


def test_passwords_and_signatures_are_in_nothing_that_is_told(model: Model, tmp_path: Path) -> None:
    given = "http://user:secret1@127.0.0.1:9/mr/one.nii.gz?sig=secret2#secret3"
    result = run(given, "-o", tmp_path / "out", "--model", model.folder)
    assert result.exit_code == 8, result.output
    assert "http://127.0.0.1:9/mr/one.nii.gz: failed: cannot be fetched" in result.stderr
    written = result.output + (tmp_path / "out" / "manifest.jsonl").read_text()
    assert "secret" not in written
    assert list(states(tmp_path / "out")) == ["one_sct.nii.gz"]


def test_a_uri_is_told_from_a_path_and_knows_its_name() -> None:
    assert [is_uri(text) for text in ("s3://b/k", "C:\\mr", "c://mr", "a/b", "mr.nii", "@l", "http:/x")] == [
        True, False, False, False, False, False, False,
    ]  # fmt: skip
    assert Uri("s3://bucket/a #1?.nii.gz").name == "a #1?.nii.gz"
    assert str(Uri("s3://key:pass@bucket/a.nii")) == "s3://bucket/a.nii"
    assert Uri("https://host/x/a.nii?token=1/2").name == "a.nii"
    assert Uri("s3://bucket").name == ""


def test_the_stamp_of_a_file_is_that_of_its_uri(tmp_path: Path) -> None:
    file = put(tmp_path / "a.nii")
    told, plain = stamp_of(Uri(f"file://{file}")), stamp_of(file)
    assert told is not None and plain is not None
    assert (told.files, told.bytes) == (plain.files, plain.bytes)
    assert stamp_of(Uri(f"file://{file}")) == told
    assert stamp_of(Uri(f"file://{tmp_path}/b.nii")) is None
