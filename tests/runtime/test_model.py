"""A model folder is used only when every file of it is the one its card was written for."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mr2ct import model as model_module
from mr2ct.errors import ModelError
from mr2ct.model import (
    CARD,
    INSTALLED,
    LARGEST_CARD,
    REFERENCE,
    UNTRAINED,
    Model,
    graph_file,
    installed_models,
    open_model,
)
from small_models import identity_graph, identity_reference, write_model

GRAPH = graph_file("fp32")


@pytest.fixture
def folder(identity_model: Model, tmp_path: Path) -> Path:
    """A good model folder to damage."""
    return Path(shutil.copytree(identity_model.folder, tmp_path / "model"))


def _recard(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the fields of card.json."""
    fields = json.loads((folder / CARD).read_text())
    change(fields)
    (folder / CARD).write_text(json.dumps(fields))


def _facts(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _put(folder: Path, name: str, content: bytes) -> None:
    """Write a file that the card names, and be honest about it on the card."""
    (folder / name).write_bytes(content)
    _recard(folder, lambda fields: fields["files"].update({name: _facts(content)}))


def _refusal(folder: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        open_model(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def _reference_refusal(folder: Path) -> str:
    """What is said of reference slices that the card vouches for and that are none."""
    opened = open_model(folder)
    with pytest.raises(ModelError) as caught:
        opened.reference()
    message = str(caught.value)
    assert message.startswith(str(folder / REFERENCE))
    assert "\n" not in message
    return message


def _npz(**arrays: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def test_a_good_folder_opens(folder: Path) -> None:
    for place in (folder, str(folder)):
        opened = open_model(place)
        assert opened.folder == folder
        assert opened.card.name == "identity"
        assert opened.precisions == ("fp32",)


def test_no_folder_means_the_one_that_comes_with_mr2ct(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "INSTALLED", folder.parent)
    monkeypatch.setattr(model_module, "DEFAULT", folder.name)
    assert open_model().folder == folder


def test_a_model_that_comes_with_mr2ct_is_opened_by_its_name_unless_a_folder_has_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_model(UNTRAINED).folder == INSTALLED / UNTRAINED
    assert UNTRAINED in installed_models()
    (tmp_path / UNTRAINED).symlink_to(folder)
    assert open_model(UNTRAINED).card.name == "identity"


def test_the_model_that_is_taken_by_itself_comes_with_every_graph_proved_and_fits_a_repository() -> None:
    model = open_model()
    assert model.card.name == "head-t1"
    assert model.precisions == ("fp32", "fp16", "int8")
    for name, facts in model.card.files.items():
        assert len(model.read(name)) == facts.bytes
        assert model.proves(name) == name.endswith(".onnx")
    assert sum(facts.bytes for facts in model.card.files.values()) < 40e6


def test_a_folder_that_is_not_there_is_told_with_who_would_write_it(tmp_path: Path) -> None:
    message = _refusal(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message
    assert "mr2ct-export" in message


def test_a_graph_is_no_model_folder(folder: Path) -> None:
    assert GRAPH in _refusal(folder / GRAPH)


@pytest.mark.parametrize("name", ["m" * 5000, "a\0b", ""], ids=["endless", "with a zero byte", "empty"])
def test_a_name_that_no_folder_can_have_is_told_as_a_wrong_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _refusal(name)


def test_a_folder_that_may_not_be_read_is_told_as_a_wrong_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)
    assert "Permission denied" in _refusal(folder)


def test_a_folder_without_a_card_is_no_model(folder: Path) -> None:
    (folder / CARD).unlink()
    assert f"it has no {CARD}" in _refusal(folder)


def test_a_card_that_is_a_folder_is_no_card(folder: Path) -> None:
    (folder / CARD).unlink()
    (folder / CARD).mkdir()
    assert f"it has no {CARD}" in _refusal(folder)


def test_a_binary_card_is_refused(folder: Path) -> None:
    (folder / CARD).write_bytes(bytes(range(256)))
    assert str(folder / CARD) in _refusal(folder)


def test_a_card_too_large_to_be_one_is_refused_unread(folder: Path) -> None:
    text = (folder / CARD).read_text()
    (folder / CARD).write_text(text + " " * (LARGEST_CARD - len(text)))
    open_model(folder)  # the largest there may be
    (folder / CARD).write_text(text + " " * (LARGEST_CARD - len(text) + 1))
    assert str(LARGEST_CARD + 1) in _refusal(folder)


@pytest.mark.parametrize("name", [GRAPH, REFERENCE])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = _refusal(folder)
    assert name in message
    assert "No such file" in message


@pytest.mark.parametrize("name", [GRAPH, REFERENCE])
@pytest.mark.parametrize(
    "alter",
    [
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: bytes(len(content)),
        lambda content: b"",  # noqa: ARG005
    ],
    ids=["one bit", "one byte short", "one byte more", "same size", "empty"],
)
def test_an_altered_file_is_named_and_never_taken(folder: Path, name: str, alter: Callable[[bytes], bytes]) -> None:
    (folder / name).write_bytes(alter((folder / name).read_bytes()))
    message = _refusal(folder)
    assert str(folder / name) in message
    assert "copy the model again" in message


def test_a_file_that_is_altered_after_the_model_was_opened_is_not_taken_either(folder: Path) -> None:
    opened = open_model(folder)
    good = opened.read(GRAPH)
    (folder / GRAPH).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ModelError, match="not the file that was certified"):
        opened.read(GRAPH)


def test_a_file_the_card_does_not_name_is_never_read(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"has no mr_to_ct.fp16.onnx; it has .*mr_to_ct.fp32.onnx"):
        open_model(folder).read(graph_file("fp16"))


@pytest.mark.parametrize("name", ["mr_to_ct.fp16.onnx", "weights.bin", "notes.txt"])
def test_a_foreign_file_in_the_folder_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"?")
    assert name in _refusal(folder)


def test_a_foreign_folder_in_the_folder_is_named(folder: Path) -> None:
    (folder / "old").mkdir()
    assert "old" in _refusal(folder)


def test_files_that_a_desktop_leaves_behind_do_no_harm(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"?")
    (folder / ".git").mkdir()
    open_model(folder)


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "/etc/passwd", "sub/graph", "./graph", "sub", "..", ".", "", CARD),
        *("a\nb", "a\0b", "\ud800", "n" * 300),
    ],
    ids=ascii,
)
def test_a_card_reaches_no_file_but_those_beside_it(folder: Path, name: str) -> None:
    secret = b"secret"
    (folder.parent / "secret").write_bytes(secret)
    (folder / "sub").mkdir()
    (folder / "sub" / "graph").write_bytes(secret)
    (folder / "graph").write_bytes(secret)
    passwd = Path("/etc/passwd")
    content = passwd.read_bytes() if name == str(passwd) and passwd.exists() else secret
    _recard(folder, lambda fields: fields["files"].update({name: _facts(content)}))
    message = _refusal(folder)
    assert message.isprintable()
    assert "not named in" not in message  # refused for its own sake, not for what else lies there


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_out_of_the_folder_is_refused_whatever_it_leads_to(folder: Path, relative: bool) -> None:
    graph = folder.parent / "graph"
    shutil.move(folder / GRAPH, graph)
    (folder / GRAPH).symlink_to("../graph" if relative else graph)
    assert (folder / GRAPH).read_bytes() == graph.read_bytes()
    assert "a link out of the model folder" in _refusal(folder)


def test_a_link_into_a_folder_inside_is_refused(folder: Path) -> None:
    (folder / ".blobs").mkdir()
    shutil.move(folder / GRAPH, folder / ".blobs" / "graph")
    (folder / GRAPH).symlink_to(Path(".blobs", "graph"))
    assert "a link out of the model folder" in _refusal(folder)


def test_a_link_to_itself_is_told_and_not_followed_for_ever(folder: Path) -> None:
    (folder / GRAPH).unlink()
    (folder / GRAPH).symlink_to(GRAPH)
    assert GRAPH in _refusal(folder)


def test_a_model_folder_that_is_itself_a_link_opens(folder: Path) -> None:
    link = folder.parent / "current"
    link.symlink_to(folder)
    assert open_model(link).read(GRAPH) == (folder / GRAPH).read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder: Path) -> None:
    (folder / GRAPH).unlink()
    os.mkfifo(folder / GRAPH)
    _recard(folder, lambda fields: fields["files"].update({GRAPH: _facts(b"")}))
    # whoever waits gets the empty file it was promised, after a while: a failure, not a test that hangs
    end = threading.Timer(5, lambda: os.close(os.open(folder / GRAPH, os.O_WRONLY | os.O_NONBLOCK)))
    end.start()
    try:
        assert GRAPH in _refusal(folder)
    finally:
        end.cancel()


def test_precisions_are_those_of_the_graphs_alone(tmp_path: Path) -> None:
    opened = write_model(tmp_path, {"fp32": identity_graph(), "fp16": identity_graph()})
    assert opened.precisions == ("fp32", "fp16")
    for name in ("mr_to_ct.fp32.onnx.data", "mr_to_ct.bf16.data", "fp32", "int8.onnx"):
        _put(tmp_path, name, b"weights")
    assert open_model(tmp_path).precisions == ("fp32", "fp16")


def test_reference_slices_come_back_as_they_were_written(identity_model: Model) -> None:
    reference, wanted = identity_model.reference(), identity_reference()
    for name in ("mr", "synthetic_ct", "head"):
        np.testing.assert_array_equal(getattr(reference, name), wanted[name])
    assert reference.mr.dtype == np.float32
    assert reference.head.dtype == bool


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", ["mr", "synthetic_ct", "head"])
def test_reference_slices_with_a_pickle_in_them_run_no_code(folder: Path, tmp_path: Path, name: str) -> None:
    marker = tmp_path / "ran"
    content = _npz(**{**identity_reference(), name: np.array([_Bomb(marker)], dtype=object)})
    _put(folder, REFERENCE, content)
    _reference_refusal(folder)
    assert not marker.exists()
    with np.load(io.BytesIO(content), allow_pickle=True) as arrays:
        arrays[name]
    assert marker.exists()  # the bomb was live


def test_a_bare_pickle_in_place_of_the_reference_slices_runs_no_code(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps(_Bomb(marker))
    _put(folder, REFERENCE, content)
    _reference_refusal(folder)
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()


def _damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(b ^ 0xFF for b in content[middle : middle + 500]) + content[middle + 500 :]


def _zip_of(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, inner in files.items():
            archive.writestr(f"{name}.npy", inner)
    return content.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _huge() -> bytes:
    """The header of an array of 4 TB, and none of it."""
    content = io.BytesIO()
    shape = (1 << 20, 1, 1024, 1024)
    np.lib.format.write_array_header_2_0(content, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"not a zip",
        b"\x93NUMPY",
        _npy(np.zeros(3)),
        _zip_of(mr=b"text", synthetic_ct=b"text", head=b"text"),
        _zip_of(mr=_huge(), synthetic_ct=_huge(), head=_huge()),
        _zip_of(),
    ],
    ids=["empty", "cut zip", "text", "cut npy", "npy", "zip of text", "4 TB promised", "empty zip"],
)
def test_what_holds_no_arrays_is_no_reference(folder: Path, content: bytes) -> None:
    _put(folder, REFERENCE, content)
    _reference_refusal(folder)


@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_zip_is_no_reference(folder: Path, packed: bool) -> None:
    content = (folder / REFERENCE).read_bytes() if packed else _npz(**identity_reference())
    _put(folder, REFERENCE, _damaged(content))
    assert "not reference slices" in _reference_refusal(folder)


@pytest.mark.parametrize("name", ["mr", "synthetic_ct", "head"])
def test_a_missing_array_is_named(folder: Path, name: str) -> None:
    arrays = identity_reference()
    del arrays[name]
    _put(folder, REFERENCE, _npz(**arrays))
    assert name in _reference_refusal(folder)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("mr", lambda array: array.astype(np.float64)),
        ("mr", lambda array: array.astype(">f4")),
        ("mr", lambda array: array[:, 0]),
        ("mr", lambda array: array[:, :, :128]),
        ("mr", lambda array: np.float32(array.mean())),
        ("synthetic_ct", lambda array: array.astype(np.float16)),
        ("synthetic_ct", lambda array: array[:1]),
        ("head", lambda array: array.astype(np.uint8)),
        ("head", lambda array: array[:, np.newaxis]),
    ],
    ids=[
        "mr in double",
        "mr big-endian",
        "mr without channel",
        "mr half as high",
        "mr a number",
        "ct in half",
        "one ct short",
        "head in bytes",
        "head with channel",
    ],
)
def test_an_array_of_another_shape_or_type_is_named(
    folder: Path, name: str, spoil: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    arrays = identity_reference()
    _put(folder, REFERENCE, _npz(**{**arrays, name: spoil(arrays[name])}))
    message = _reference_refusal(folder)
    assert "where the card has" in message
    assert any(f": {told} is " in message for told in ("mr", "synthetic_ct", "head"))
