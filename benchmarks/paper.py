"""What the paper did (section 4), for what is compared with it: arXiv:1708.01155."""

SLICES = 183  # of a volume
STEPS = SLICES * 18 * 200  # slices x training patients x epochs: 658,800
HOURS = 52  # on a Titan X
