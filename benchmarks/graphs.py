"""How far each graph of a model folder is from PyTorch fp32, in HU: as its card says, and on the slices of other MRs.

    python benchmarks/graphs.py FOLDER [--mr MR ...] [--save NAME]

--mr: heads that no eight-bit step was chosen by; OpenVINO runs the bf16 and the int8 graph over six slices of each,
inside the same budgets. The figures end in one line of JSON.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mr2ct
from machine import finish, ran
from mr2ct.card import Certificate
from mr2ct.certificate import certify
from mr2ct.model import Model, graph_file
from mr2ct.openvino_backend import OpenvinoBackend
from mr2ct_export.more_graphs import generator_of
from mr2ct_export.reference import reference_from_volumes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a model folder or a model's name")
    parser.add_argument("--mr", type=Path, nargs="*", default=[], help="MRs that nothing was calibrated on")
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    options = parser.parse_args()
    model = mr2ct.open_model(options.folder)
    card = model.card
    rows = [_row("reference", one, card.files[one.file].bytes) for one in card.certificates]
    for path in options.mr:
        rows += [_row(path.name.split(".")[0], one) for one in on_another(model, path)]
    for row in rows:
        print(
            f"{row['head']:<22}{row['precision']:<6}mean {row['mean_hu']:.3g}, p99.9 {row['p99_9_hu']:.3g}, "
            f"max {row['max_hu']:.3g} HU{'' if row['passed'] else ', outside its budget'}"
        )
    layers = None if card.quantisation is None else list(card.quantisation.int8)
    facts = {"model": card.name, "version": card.version, "int8_layers": layers, "graphs": rows}
    finish({**ran("graphs", "onnxruntime", "openvino"), **facts}, options.save)


def on_another(model: Model, path: Path) -> list[Certificate]:
    """OpenVINO in bf16, and in int8 where there is a graph for it, over slices of an MR."""
    card = model.card
    slices = reference_from_volumes([mr2ct.read_volume(path)], card.slices, card.mr_window, generator_of(model))
    found = []
    for precision, file in (("bf16", graph_file("fp32")), ("int8", graph_file("int8"))):
        if file in card.files:
            engine = OpenvinoBackend(model, file, precision, say=print)
            window = card.ct_window_hu
            found.append(certify(engine, slices, file=file, precision=precision, ct_window_hu=window))
            engine.close()
    return found


def _row(head: str, one: Certificate, size: int | None = None) -> dict[str, Any]:
    return {"head": head, **asdict(one), "passed": one.passed, "bytes": size}


if __name__ == "__main__":
    main()
