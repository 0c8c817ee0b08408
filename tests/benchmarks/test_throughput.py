"""What is told of benchmarks/throughput.py."""

from __future__ import annotations

import pytest

from throughput import one_each, one_for_all
from throughput_table import print_table, throughput_text


def way(name: str, hour: float, times: float) -> dict[str, object]:
    told = {"volumes_an_hour_fastest": hour, "times_the_loop_fastest": times}
    return {"way": name, "seconds": [1.0], "times_the_loop": {"min": 0.5, "median": 0.7, "p95": 0.9}, **told}


def result(equal: bool = True) -> dict[str, object]:
    kind = {
        "kind": "slabs", "volumes": 12, "rounds": 3, "slices": 9, "engine": "an engine", "bit_equal": equal,
        "ways": [way("a call each", 100.4, 1.0), way("one call", 250.0, 2.49), way("ray, 2 workers", 300.0, 2.994)],
    }  # fmt: skip
    memory = {"volumes": 60, "peak_gib_after_a_fifth": 0.391, "peak_gib_at_the_end": 0.394}
    return {"hardware": {"cpu": "a CPU", "cores": 2}, "date": "2000-01-01", "kinds": [kind], "memory": memory}


def test_readme_has_a_row_a_kind_with_every_way_and_its_ratio() -> None:
    lines = throughput_text(result()).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == 6
    assert "volumes an hour, ray, 2 workers" in lines[0]
    assert lines[2] == "| slabs | 100 | 250 | 300 | 2.49, 2.99 |"
    assert "60 volumes: 0.39 GiB after a fifth, 0.39 at the end" in lines[-1]


@pytest.mark.parametrize(("equal", "told"), [(True, "equal bit for bit"), (False, "NOT EQUAL")])
def test_the_terminal_says_whether_the_work_was_the_same(
    equal: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(result(equal))
    assert told in capsys.readouterr().out


def test_every_way_is_given_the_same_volumes_and_writes_the_same_names(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    mr = tmp_path_factory.mktemp("mr")
    for name in ("b.nii.gz", "a.nii.gz"):
        (mr / name).touch()
    assert [command[0] for command in one_each(mr, mr / "out")] == [str(mr / "a.nii.gz"), str(mr / "b.nii.gz")]
    assert one_each(mr, mr / "out")[0][-1] == str(mr / "out" / "a_sct.nii.gz")
    assert one_for_all(mr, mr / "out") == [[str(mr), "-o", str(mr / "out")]]
