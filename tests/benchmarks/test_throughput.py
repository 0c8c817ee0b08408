"""The throughput benchmark, on heads and a model that take no time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from throughput_table import throughput_text

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "throughput.py"


def test_it_compares_equal_work_and_ends_in_one_json_that_readme_can_tell() -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        "--only",
        "identity",
        "--volumes",
        "2",
        "--rounds",
        "1",
        "--memory-volumes",
        "3",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    (kind,) = result["kinds"]
    assert kind["bit_equal"]
    assert kind["volumes"] == 2
    loop, many = kind["ways"]
    assert (loop["way"], many["way"]) == ("a call each", "one call")
    assert loop["times_the_loop"]["median"] == 1
    assert many["seconds"][0] > 0
    assert 0.05 < result["memory"]["peak_gib_at_the_end"] < 4
    text = throughput_text(result).splitlines()
    assert text[2].startswith("| an engine that does nothing")
    assert "0" not in text[1]
