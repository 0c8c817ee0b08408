"""Whether a series looks T1-weighted, by how it was acquired and, where that is not told, by what it is called.

A hint for choosing among series, never a proof. The bounds lie between what scanners' protocols use for T1 (spin echo:
TE about 10 ms at TR 500; spoiled gradient echo: TE 2 to 5 at TR 5 to 30; MPRAGE: TI about 900) and for the others.
"""

from __future__ import annotations

import re

LONGEST_ECHO_MS = 35.0  # T1 and proton density below, T2 above
LONGEST_GRADIENT_ECHO_MS = 12.0  # T2* and susceptibility above
LONGEST_SPIN_REPETITION_MS = 1300.0  # proton density and T2 above
LONGEST_GRADIENT_REPETITION_MS = 400.0
INVERSION_MS = (350.0, 1500.0)  # of T1; fat is nulled below (STIR), water above (FLAIR at 1800 to 2700)
OTHER = re.compile(
    r"t2|flair|dwi|dti|diff|adc|trace|swi|swan|venobold|bold|fmri|asl|perf|pwi|tof|angio|mra|mrv|phase|b0|field.?map|\bpd|"
    r"proton|stir|ciss|fiesta|loca|scout|survey|spectro|mip|mosaic|epi|dce|dsc",
    re.IGNORECASE,
)
T1 = re.compile(r"t1|mp.?rage|bravo|spgr|fspgr|mp2rage|tfl|flash|vibe|lava|tfe|fast.?field", re.IGNORECASE)


def t1_weighted(
    echo_ms: float | None,
    repetition_ms: float | None,
    inversion_ms: float | None,
    sequence: tuple[str, ...],
    description: str,
) -> bool | None:
    """True, False, or None where nothing tells. sequence: ScanningSequence, of SE, IR, GR, EP, RM."""
    named_t1, named_other = bool(T1.search(description)), bool(OTHER.search(description))
    if "EP" in sequence or (named_other and not named_t1):
        return False
    if echo_ms is not None and echo_ms > LONGEST_ECHO_MS:
        return False
    if inversion_ms:
        return INVERSION_MS[0] <= inversion_ms <= INVERSION_MS[1]
    if named_t1:
        return True
    if echo_ms is None or repetition_ms is None:
        return None
    if "GR" in sequence:
        return echo_ms <= LONGEST_GRADIENT_ECHO_MS and repetition_ms <= LONGEST_GRADIENT_REPETITION_MS
    return repetition_ms <= LONGEST_SPIN_REPETITION_MS
