"""Where a Triton server is, and what its models are called."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mr2ct.choosing import DEVICES, choose_backend
from mr2ct.device_option import device_option
from mr2ct.errors import DeviceError
from mr2ct.model import CARD, Model
from mr2ct.triton_model import Place, parameters_of, parse_place, repository_name, served_name
from small_models import write_model


@pytest.mark.parametrize(
    ("text", "place", "address"),
    [
        ("triton://gpu1:8001", Place("gpu1", 8001), "gpu1:8001"),
        ("tritons://gpu1.hospital.org:443/head-t1", Place("gpu1.hospital.org", 443, "head-t1", True), None),
        ("triton://10.0.0.7:8001/", Place("10.0.0.7", 8001), "10.0.0.7:8001"),
        ("triton://[fd00::7]:8001", Place("fd00::7", 8001), "[fd00::7]:8001"),
    ],
)
def test_a_place_is_read_and_written(text: str, place: Place, address: str | None) -> None:
    assert parse_place(text) == place
    assert address in (None, place.address)
    assert text.startswith(str(place))


@pytest.mark.parametrize(
    "text",
    [
        "triton://", "triton://gpu1", "triton://:8001", "triton://gpu1:port", "triton://gpu1:70000", "triton://gpu1:0",
        "triton://gpu1:8001/a/b", "triton://gpu1:8001/a b", "triton://gpu1:8001?x=1", "triton://me@gpu1:8001",
        "triton://[fd00::7:8001", "http://gpu1:8001", "triton://gpu1:8001/..",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused_in_one_line(text: str, identity_model: Model) -> None:
    with pytest.raises(ValueError, match="is not triton://HOST:PORT nor triton://HOST:PORT/MODEL, such as") as refused:
        parse_place(text)
    assert str(refused.value).isprintable()
    with pytest.raises(DeviceError):
        choose_backend(identity_model, text)


def test_the_option_takes_every_device_and_every_place() -> None:
    @click.command()
    @device_option
    def told(device: str) -> None:
        click.echo(device)

    runner = CliRunner()
    for device in (*DEVICES, "triton://gpu1:8001", "tritons://gpu1:8001/head-t1"):
        assert runner.invoke(told, ["--device", device]).stdout == f"{device}\n"
    assert runner.invoke(told, []).stdout == "auto\n"
    wrong = runner.invoke(told, ["--device", "gpu"])
    assert wrong.exit_code == 2
    assert f"'gpu' is not one of {', '.join(DEVICES)}, nor triton://HOST:PORT" in wrong.stderr
    assert "triton://gpu1' is not triton://HOST:PORT" in runner.invoke(told, ["--device", "triton://gpu1"]).stderr
    assert f"[{'|'.join(DEVICES)}|triton://HOST:PORT]" in runner.invoke(told, ["--help"], terminal_width=200).stdout


def test_names_are_those_of_folders() -> None:
    assert served_name("head-t1", "fp16") == "head-t1-fp16"
    assert served_name("head-t1", "fp32", "ct_to_mr") == "head-t1-ct_to_mr-fp32"
    assert repository_name("Köpfe / T1: 2026\n") == "K-pfe-T1-2026"
    assert repository_name("../..") == repository_name("") == "model"


def test_what_is_told_of_a_folder_changes_with_graph_and_card(tmp_path: Path) -> None:
    one = write_model(tmp_path / "one", name="head", version="3")
    told = parameters_of(one, "fp32")
    assert told == {
        "mr2ct_name": "head",
        "mr2ct_version": "3",
        "mr2ct_precision": "fp32",
        "mr2ct_graph_sha256": one.card.files["mr_to_ct.fp32.onnx"].sha256,
        "mr2ct_card_sha256": hashlib.sha256((one.folder / CARD).read_bytes()).hexdigest(),
    }
    other = write_model(tmp_path / "other", name="head", version="3", authors="somebody else")
    assert {key for key, value in parameters_of(other, "fp32").items() if value != told[key]} == {"mr2ct_card_sha256"}
