"""Is this an MR at all?"""

from __future__ import annotations

import numpy as np

from mr2ct.errors import VolumeError
from mr2ct.volume import Volume

# A CT says air with -1000 HU (-1024 outside the scanned circle, -2048 or -3024 as padding). Where more than a twentieth
# of a volume lies that low it is a CT: an MR magnitude image has no negative values at all.
CT_AIR_HU = -900
CT_AIR_SHARE = 0.05
EVERY = 4  # along each axis; 1 of 64 voxels is plenty for a share


def refuse_ct(volume: Volume) -> None:
    """Raise VolumeError when the voxels, any real dtype, are distributed as HU are."""
    sample = volume.voxels[::EVERY, ::EVERY, ::EVERY]
    share = float(np.mean(sample < CT_AIR_HU))
    if share > CT_AIR_SHARE:
        raise VolumeError(f"this is a CT: {share:.0%} of it lies below {CT_AIR_HU}, as air does in HU; an MR is needed")
