"""The head mask: what a user would see on the screen if it were wrong."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.head import HEAD_PARTS, head_mask
from mr2ct.volume import Volume

DATA = Path(__file__).resolve().parents[3] / "shared/data"
REAL_HEADS = sorted(DATA.glob("mr/*.nii.gz"))

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
BRAIN, SCALP, MUSCLE, SKULL = 800.0, 1000.0, 500.0, 40.0  # MR signal; air is 0
SNR = 10.0  # of the brain

Distance = NDArray[np.float64]  # mm from a surface, negative inside
Mask = NDArray[np.bool_]


# The phantom: LPS mm, the origin in the middle of the volume, z up. The neck leaves the volume through its bottom.


def positions(size: tuple[int, int, int] = (64, 80, 84), spacing: tuple[float, float, float] = (3.0, 3.0, 3.0)) -> Grid:
    """A grid of so many voxels along x, y, z with its middle at the origin."""
    x, y, z = (-(n - 1) / 2 * mm for n, mm in zip(size, spacing, strict=True))
    return Grid(size, spacing, (x, y, z), AXIAL)


def xyz(grid: Grid) -> list[NDArray[np.float64]]:
    """LPS mm of the voxel centres: x, y and z, each (k, j, i)."""
    index = np.stack(np.indices(grid.shape)[::-1], axis=-1).astype(np.float64)
    return list(np.moveaxis(grid.points(index), -1, 0))


def ellipsoid(grid: Grid, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Distance:
    """Distance from an ellipsoid; a radius of infinity makes a cylinder."""
    offset = [p - c for p, c in zip(xyz(grid), centre, strict=True)]
    once = np.sqrt(sum((o / r) ** 2 for o, r in zip(offset, radii, strict=True))) + 1e-9
    twice = np.sqrt(sum((o / r**2) ** 2 for o, r in zip(offset, radii, strict=True))) + 1e-9
    distance: Distance = once * (once - 1) / twice
    return distance


def below(grid: Grid, z: float) -> Distance:
    """Distance from all that lies below z."""
    return xyz(grid)[2] - z


def skin(grid: Grid) -> Distance:
    """Distance from the skin, as if mouth and ears were shut."""
    head = ellipsoid(grid, (0, 0, 20), (72, 92, 92))
    nose = ellipsoid(grid, (0, -86, -10), (14, 22, 20))
    neck = np.maximum(ellipsoid(grid, (0, 20, 0), (50, 56, np.inf)), below(grid, -20))
    return np.minimum(np.minimum(head, nose), neck)


def cavities(grid: Grid) -> dict[str, Distance]:
    """Distance from the air in the head; all but the sinuses are open to the outside."""
    x, y, _ = xyz(grid)
    return {
        "sinuses": np.minimum(*(ellipsoid(grid, (side * 26, -48, -18), (13, 15, 14)) for side in (-1, 1))),
        "trachea": np.maximum(ellipsoid(grid, (0, -10, 0), (9, 9, np.inf)), below(grid, -60)),
        "mouth": np.maximum(ellipsoid(grid, (0, 0, -45), (18, np.inf, 3.5)), np.maximum(y, -y - 90)),
        "ear canals": np.maximum(ellipsoid(grid, (0, 8, 0), (np.inf, 3.5, 3.5)), 40 - np.abs(x)),
    }


def in_a_cavity(grid: Grid) -> Mask:
    """The air in the head; where it opens, nothing but the mask's own roundness says where the head ends."""
    return np.asarray(np.minimum.reduce(list(cavities(grid).values())) < 0)


def phantom(grid: Grid, *, noise: bool = False) -> Volume:
    """The MR of a head with its air and, if asked for, with Rician noise."""
    voxel = min(grid.spacing)
    brain = ellipsoid(grid, (0, 0, 25), (60, 80, 74))
    mr = np.zeros(grid.shape)
    for signal, distance in (
        (MUSCLE, skin(grid)),
        (SCALP, np.maximum(skin(grid), -6 - skin(grid))),
        (SKULL, brain - 7),
        (BRAIN, brain),
        *((0.0, air) for air in cavities(grid).values()),
    ):
        cover = np.clip(0.5 - distance / voxel, 0, 1)
        mr += cover * (signal - mr)
    if noise:
        rng = np.random.default_rng(7)
        mr = np.hypot(mr + rng.normal(0, BRAIN / SNR, grid.shape), rng.normal(0, BRAIN / SNR, grid.shape))
    return Volume(mr.astype(np.float32), grid)


def biased(volume: Volume, axis: int, factor: float) -> Volume:
    """The volume with a coil that sees the far end of an array axis `factor` times as well as the near end."""
    ramp = factor ** np.linspace(-0.5, 0.5, volume.grid.shape[axis])
    shape = [1, 1, 1]
    shape[axis] = -1
    return Volume((volume.voxels * ramp.reshape(shape)).astype(np.float32), volume.grid)


def cut(volume: Volume, k: slice, j: slice, i: slice) -> Volume:
    """A part of the volume, as a smaller scan would have it."""
    image = volume.image()[i, j, k]
    return Volume.of(image)


def turned(volume: Volume, order: tuple[int, ...], flips: tuple[int, ...]) -> Volume:
    """The same patient with the array axes in another order, those named in `flips` backwards."""
    image = sitk.PermuteAxes(volume.image(), [2 - axis for axis in order[::-1]])
    return Volume.of(sitk.Flip(image, [2 - axis in flips for axis in range(3)], flipAboutOrigin=False))


def assert_skin_edge(mask: Mask, distance: Distance, mm: float = 2.0) -> None:
    """No voxel inside the skin is missing, none farther outside than `mm` is there, to 1 in 1000 of the head."""
    few = np.count_nonzero(distance < 0) / 1000
    assert np.count_nonzero(~mask & (distance < 0)) <= few, "a part of the head is missing"
    assert np.count_nonzero(mask & (distance > mm)) <= few, "the mask stands off the skin"


@pytest.fixture(scope="module")
def clean() -> Volume:
    return phantom(positions())


@pytest.fixture(scope="module")
def noisy() -> Volume:
    return phantom(positions(), noise=True)


@pytest.mark.parametrize("cavity", ["sinuses", "trachea", "mouth", "ear canals"])
def test_air_inside_the_head_is_head(clean: Volume, cavity: str) -> None:
    air = (cavities(clean.grid)[cavity] < -1) & (skin(clean.grid) < -1)
    assert air.sum() > 20
    assert head_mask(clean)[air].all()


def test_skull_is_head_though_dark_as_air(clean: Volume) -> None:
    dark = (clean.voxels < 0.1 * BRAIN) & (skin(clean.grid) < 0)
    assert dark.sum() > 1000
    assert head_mask(clean)[dark].all()


def test_mask_ends_at_the_skin(clean: Volume) -> None:
    assert_skin_edge(head_mask(clean), skin(clean.grid))


def test_mask_ends_at_the_skin_between_voxels() -> None:
    grid = positions((96, 120, 126), (2.0, 2.0, 2.0))
    distance = skin(grid)
    mask = head_mask(phantom(grid))
    assert mask[(distance < 0.5) & ~in_a_cavity(grid)].all(), "the mask is not dilated"
    assert mask[distance < -1].all(), "a cavity is eaten"
    assert_skin_edge(mask, distance)


def test_noise_outside_is_not_head(noisy: Volume) -> None:
    assert_skin_edge(head_mask(noisy), skin(noisy.grid), mm=4.0)  # a voxel of 3 mm at the skin may be all noise


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_bias_field_does_not_move_the_skin(clean: Volume, axis: int, factor: float) -> None:
    assert_skin_edge(head_mask(biased(clean, axis, factor)), skin(clean.grid))


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_background_that_brightens_to_one_side_is_not_head(noisy: Volume, factor: float) -> None:
    """As where a scanner divides by the sensitivity of its coil, noise and all."""
    assert_skin_edge(head_mask(biased(noisy, 0, factor)), skin(noisy.grid), mm=4.0)


def test_ghost_beside_the_head_is_not_head(clean: Volume) -> None:
    ghost = 0.08 * np.roll(clean.voxels, clean.grid.size[1] // 2, axis=1)
    assert_skin_edge(head_mask(Volume(clean.voxels + ghost, clean.grid)), skin(clean.grid), mm=3.0)


def test_scalp_with_its_fat_suppressed_is_head(clean: Volume) -> None:
    distance = skin(clean.grid)
    scalp = (distance > -6) & (xyz(clean.grid)[2] > 0)
    faint = np.where(scalp, 0.15 * clean.voxels, clean.voxels)
    assert_skin_edge(head_mask(Volume(faint, clean.grid)), distance)


def test_neck_goes_on_to_the_edge_of_the_volume(clean: Volume) -> None:
    mask, distance = head_mask(clean), skin(clean.grid)
    assert mask[0][distance[0] < 0].all()
    assert not mask[0][distance[0] > 3].any()


def test_dark_neck_is_head(clean: Volume) -> None:
    height = np.linspace(0, 1, clean.grid.shape[0])[:, None, None]
    dim = clean.voxels * np.clip(0.25 + 2 * height, None, 1)
    assert_skin_edge(head_mask(Volume(dim.astype(np.float32), clean.grid)), skin(clean.grid))


def test_part_of_a_head_is_masked_like_the_whole(clean: Volume) -> None:
    part = (slice(22, None), slice(None, 50), slice(24, None))  # cut through mouth, brain and one sinus
    cropped = cut(clean, *part)
    assert_skin_edge(head_mask(cropped), skin(clean.grid)[part])


def test_missing_face_is_not_head(clean: Volume) -> None:
    _, y, z = xyz(clean.grid)
    face = (y < -55) & (z < 0)
    defaced = np.where(face, 0, clean.voxels)
    mask = head_mask(Volume(defaced, clean.grid))
    edge = np.maximum(-55 - y, z)  # mm into the zeroed block
    assert not mask[face & (edge > 4) & (y < -62) & (z < -8)].any()
    sinuses = cavities(clean.grid)["sinuses"] < 0  # without their front walls, so open to the outside
    assert mask[~face & ~sinuses & (skin(clean.grid) < 0) & (y > -45)].all()


def test_thick_slices() -> None:
    grid = positions((96, 120, 20), (2.0, 2.0, 6.0))
    mask, distance = head_mask(phantom(grid)), skin(grid)
    assert mask[(distance < 0) & ~in_a_cavity(grid)].all()
    assert mask[distance < -3].all(), "a cavity is eaten by more than half a slice"
    assert not mask[distance > 6].any()


def test_signal_has_no_unit(clean: Volume) -> None:
    mask = head_mask(clean)
    for scale, dtype in ((1e-3, np.float64), (1.0, np.int16), (1e30, np.float32)):
        other = head_mask(Volume((clean.voxels * scale).astype(dtype), clean.grid))
        assert np.count_nonzero(other != mask) <= mask.sum() / 1000


def test_mask_is_the_same_in_all_48_orientations() -> None:
    volume = phantom(positions((48, 60, 63), (4.0, 4.0, 4.0)), noise=True)
    mask = head_mask(volume)
    image = Volume(mask.astype(np.uint8), volume.grid)
    for order in itertools.permutations(range(3)):
        for flips in itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in range(4)):
            expected = turned(image, order, flips).voxels.astype(bool)
            differing = np.count_nonzero(head_mask(turned(volume, order, flips)) != expected)
            assert differing <= 0.005 * mask.sum(), f"axes {order}, backwards {flips}"


def test_mask_is_deterministic_and_leaves_the_volume_alone(noisy: Volume) -> None:
    before = noisy.voxels.copy()
    assert np.array_equal(head_mask(noisy), head_mask(noisy))
    assert np.array_equal(noisy.voxels, before)


def refused(voxels: NDArray[Any], grid: Grid, why: str) -> None:
    with pytest.raises(VolumeError, match=why) as failure:
        head_mask(Volume(voxels, grid))
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("value", [0, 1000, -1024])
def test_constant_volume_is_refused(value: int) -> None:
    grid = positions()
    refused(np.full(grid.shape, value, np.int16), grid, f"{value} everywhere")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_volume_that_is_not_finite_is_refused(clean: Volume, bad: float) -> None:
    voxels = clean.voxels.copy()
    voxels[10, 20, 30] = bad
    refused(voxels, clean.grid, "NaN")


@pytest.mark.parametrize("spacing", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["uniform", "normal", "rayleigh"])
def test_noise_alone_is_refused(kind: str, spacing: float) -> None:
    grid = positions((64, 80, 84), (spacing,) * 3)
    noise = getattr(np.random.default_rng(3), kind)(size=grid.shape)
    refused(noise, grid, "% of the volume")


def test_too_little_head_is_refused(clean: Volume) -> None:
    small = np.pad(clean.voxels[::4, ::4, ::4], 20)
    refused(small, Grid(small.shape[::-1], (3.0, 3.0, 3.0), (0.0, 0.0, 0.0), AXIAL), f"{HEAD_PARTS[0]:.0%}")


def test_no_air_around_the_head_is_refused(clean: Volume) -> None:
    inside = cut(clean, slice(30, 60), slice(20, 60), slice(16, 48))
    refused(inside.voxels, inside.grid, f"{HEAD_PARTS[1]:.0%}")


@pytest.fixture(params=REAL_HEADS or [None], ids=lambda path: path.name.split(".")[0] if path else "none")
def real_head(request: pytest.FixtureRequest) -> Volume:
    """Each of the real heads, every second voxel."""
    if request.param is None:
        pytest.skip(f"no real heads; put T1 MRs as NIfTI (.nii.gz) into {DATA / 'mr'}")
    return Volume.of(sitk.ReadImage(str(request.param), sitk.sitkFloat32)[::2, ::2, ::2])


def depth(mask: Mask, grid: Grid) -> Distance:
    """mm from the surface of the mask, positive inside, negative outside."""
    inside = grid.image(mask.astype(np.uint8))
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(inside, True, False, True))


def surface(mask: Mask) -> Mask:
    """The outermost voxels of the mask; where it leaves the volume there is none."""
    around = np.pad(mask, 1, mode="edge")
    inner = mask.copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(around, step, axis)[1:-1, 1:-1, 1:-1]
    return np.asarray(mask & ~inner)


def test_real_head_is_masked_to_the_skin(real_head: Volume) -> None:
    mask = head_mask(real_head)
    bright = np.percentile(real_head.voxels, 90)
    tissue = real_head.voxels > 0.35 * bright
    assert np.count_nonzero(tissue & ~mask) < 0.001 * np.count_nonzero(tissue), "bright tissue lies outside"
    beyond_skin = -depth((real_head.voxels > 0.2 * bright) & mask, real_head.grid)[surface(mask)]
    assert np.quantile(beyond_skin, 0.9) < 3.1, "the mask stands off the skin"  # mm; one voxel more makes it 3.6 to 4.6
    pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(real_head.grid.image(mask.astype(np.uint8))))
    assert np.bincount(pieces.ravel())[1:].max() > 0.999 * mask.sum(), "the mask is in pieces"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_real_head_under_a_bias_field(real_head: Volume, axis: int) -> None:
    mask, other = head_mask(real_head), head_mask(biased(real_head, axis, 3.0))
    assert np.count_nonzero(mask != other) < 0.02 * mask.sum()
