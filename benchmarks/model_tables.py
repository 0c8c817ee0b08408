"""MODEL_CARD's tables: how good the model that comes with mr2ct is, what its graphs cost, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DRAWN = ("mae_hu_in_mask", "psnr_db_in_mask_range_4095", "dice_in_mask_bone", "jump_ratio_in_mask")
HEADS = {
    "seg3d": "aged 15 (seg3d)",
    "studyforrest_defaced": "studyforrest",
    "fnndsc_sag": "child (fnndsc_sag)",
    "fnndsc_adi": "**held out** (fnndsc_adi)",
}
FAULTS = {
    "deep_bone_cm3": ("bone deep inside the skull, cm3", ".2f"),
    "rays_without_bone_percent": ("rays through the vault that meet no bone, %", ".1f"),
    "largest_hole_mm": ("its widest hole, mm", ".0f"),
    "bone_median_mm": ("thickness of the vault, mm", ".3g"),
    "scalp_air_cm3": ("air in the scalp, cm3", ".1f"),
    "end_bone_percent": ("bone in the last two slices, %", ".0f"),
    "soft_median_hu": ("soft tissue, median HU", ".0f"),
    "soft_0_to_80_percent": ("of it within 0 to 80 HU, %", ".0f"),
    "slice_to_slice": ("change from slice to slice, in 1 of that from front to back", ".2f"),
}
PEOPLE = {"mae_hu": ".0f", "bone_dice": ".2f", "inside_skull_mae_hu": ".0f"}


def demonstrator_text(result: dict[str, Any]) -> str:
    """Rows of demonstrator.json: means over the drawn patients that were held out."""
    names = ", ".join(result["cohort"]["measured"])
    rows = [(f"drawn patients {names}, inside the head", "MAE", "PSNR", "bone Dice", "slice to slice"), ("---",) * 5]
    for method, figures in result["methods"].items():
        mae, psnr, dice, jump = (figures[key]["mean"] for key in DRAWN)
        name = f"**{method}**" if method == result["model"] else method
        rows.append((name, f"{mae:.0f} HU", f"{psnr:.1f} dB", f"{dice:.2f}", f"{jump:.2f}"))
    return _lines(rows)


def card_text(card: dict[str, Any]) -> str:
    """What a model's card says of its files and their proofs."""
    rows = [("file", "size", "proved by", "mean, p99.9, max error", "budget"), ("---",) * 5]
    for proof in card["certificates"]:
        size = f"{card['files'][proof['file']]['bytes'] / 1e6:.1f} MB"
        rows.append((f"`{proof['file']}`", size, proof["engine"], _error(proof), f"{_budget(proof)} HU"))
    return _lines(rows)


def graphs_text(result: dict[str, Any]) -> str:
    """Rows of head-t1-graphs.json: what each graph costs, and what the same costs on other heads."""
    where = f"{result['hardware']['cpu']}, {result['date']}"
    rows = [(f"graph, on {where}", "head", "size", "mean, p99.9, max error", "budget"), ("---",) * 5]
    rows += [
        (
            f"{row['precision']}: {row['engine']}",
            "drawn, the card's" if row["head"] == "reference" else row["head"],
            "" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f} MB",
            _error(row),
            f"{_budget(row)} HU{'' if row['passed'] else ': outside'}",
        )
        for row in result["graphs"]
    ]
    layers = result["int8_layers"]
    return _lines(rows) + (
        "" if layers is None else f"\n\nIn int8: {len(layers)} of the 20 convolutions that could be."
    )


def faults_text(versions: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Of each version head-faults-N.json, of real MRs without a CT, and head-faults-simulated-N.json.

    Real CTs are in the last of the first, for what changes from slice to slice.
    """
    real = [{row["head"]: row for row in result["heads"]} for result, _ in versions]
    first = "version " + ", ".join(str(n + 1) for n in range(len(versions)))
    rows = [(first, *HEADS.values()), ("---",) * (len(HEADS) + 1)]
    for key, (name, form) in FAULTS.items():
        rows.append((name, *(", ".join(f"{heads[head][key]:{form}}" for heads in real) for head in HEADS)))
    people = [result["heads"] for _, result in versions]
    mae, dice, inside = (
        ", ".join(f"{sum(row[key] for row in each) / len(each):{form}}" for each in people)
        for key, form in PEOPLE.items()
    )
    cts = [row["slice_to_slice"] for head, row in real[-1].items() if head not in HEADS]
    told = "" if not cts else f"\n\nFrom slice to slice {len(cts)} real CTs change by {min(cts):.2f} to {max(cts):.2f}."
    return (
        f"{_lines(rows)}{told}\n\nOn {len(people[0])} simulated people that none was trained on, of another seed: "
        f"MAE {mae} HU, bone Dice {dice}, MAE inside the skull {inside} HU."
    )


def skull_text(result: dict[str, Any]) -> str:
    """Rows of real-skull.json: bone of a real patient's CT, as it was registered and where it fits best."""
    head = (
        "bone of the patient of " + result["mr"],
        "Dice",
        "surfaces apart, mean",
        "95th percentile",
        "shifted: Dice",
        "mean",
    )
    rows = [head, ("---",) * 6]
    for row in result["methods"]:
        there, shifted = row["as_registered"], row["shifted"]
        name = f"**{row['method']}**" if row["method"] == result["methods"][0]["method"] else row["method"]
        distances = [f"{there[key]:.1f} mm" for key in ("surface_mean_mm", "surface_p95_mm")]
        rows.append(
            (
                name,
                f"{there['bone_dice']:.2f}",
                *distances,
                f"{shifted['bone_dice']:.2f}",
                f"{shifted['surface_mean_mm']:.1f} mm",
            )
        )
    along = ", ".join(f"{abs(mm):g}" for mm in result["shift_mm"])
    told = (
        f"Shifted: the skull moved by {along} mm along slices, rows and columns, where it fits the first model's best."
    )
    bone, skull = result["methods"][0]["bone_cm3"], result["skull_cm3"]
    volumes = f"Bone of the first model: {bone:.0f} cm3; the skull: {skull:.0f} cm3."
    return f"{_lines(rows)}\n\n{told} {volumes}"


def _error(proof: dict[str, Any]) -> str:
    return f"{proof['mean_hu']:.2g}, {proof['p99_9_hu']:.2g}, {proof['max_hu']:.2g} HU"


def _budget(proof: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.removesuffix('_hu').replace('_', '.')} {limit:g}" for name, limit in proof["budget_hu"].items()
    )


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
