"""Which convolutions may be in eight bits: measured one by one on slices that nothing was calibrated on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mr2ct.card import Certificate, LayerError, Quantisation
from mr2ct_export.to_onnx import ExportError

# HU inside the head, on the slices held out: less than the budget. The 99.9th percentile varies most: on other heads it
# was up to 1.8 times as much, and other CPUs round otherwise, where the graph has to pass too (LOG.md).
LIMITS_HU = {"mean_hu": 0.9, "p99_9_hu": 12.0}

Measure = Callable[[Sequence[str]], Certificate]


def choose_layers(
    names: Sequence[str], measure: Measure, *, calibrated_on: int, limits_hu: Mapping[str, float] = LIMITS_HU
) -> Quantisation:
    """As many convolutions in int8 as the limits allow, those first that alone cost least.

    names: of all that could be, one at least.  measure: the error with some of them in int8.  calibrated_on: slices.
    limits_hu: of mean_hu and p99_9_hu.
    Raises ExportError when there is none that may be.
    """
    none = measure(())
    alone = {name: measure((name,)) for name in names}
    order = sorted(names, key=lambda name: (alone[name].mean_hu, alone[name].p99_9_hu))
    fits, fails, tried = 0, len(order) + 1, len(order)  # the error grows with every layer
    while fails - fits > 1:
        if _is_within(limits_hu, measure(order[:tried])):
            fits = tried
        else:
            fails = tried
        tried = (fits + fails) // 2
    if fits == 0:
        best = alone[order[0]]
        raise ExportError(
            f"no convolution may be in int8: {order[0]}, alone and the best of all, makes mean {best.mean_hu:.3g}, "
            f"p99.9 {best.p99_9_hu:.3g} HU on slices held out, where the limit is {_told(limits_hu)} HU; without any "
            f"it is mean {none.mean_hu:.3g}, p99.9 {none.p99_9_hu:.3g} HU"
        )
    return Quantisation(
        int8=tuple(name for name in names if name in order[:fits]),
        none=_error(none),
        alone={name: _error(alone[name]) for name in names},
        limits_hu=dict(limits_hu),
        calibrated_on=calibrated_on,
        measured_on=none.slices,
        engine=none.engine,
    )


def _is_within(limits_hu: Mapping[str, float], measured: Certificate) -> bool:
    return measured.mean_hu <= limits_hu["mean_hu"] and measured.p99_9_hu <= limits_hu["p99_9_hu"]


def _error(measured: Certificate) -> LayerError:
    return LayerError(measured.mean_hu, measured.p99_9_hu)


def _told(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{name.removesuffix('_hu').replace('_', '.')} {limit:g}" for name, limit in limits.items())
