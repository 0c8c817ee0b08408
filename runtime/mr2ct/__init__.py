"""mr2ct: a synthetic CT out of a brain MR. Research only, not a medical device.

>>> import mr2ct
>>> mr = mr2ct.read_volume("t1.nii.gz")
>>> ct = mr2ct.synthesize(mr, mr2ct.open_model("model"))
>>> mr2ct.write_volume(ct.volume, "t1_sct.nii.gz")
"""

from mr2ct.choosing import choose_backend
from mr2ct.errors import Mr2ctError
from mr2ct.model import Model, open_model
from mr2ct.reading import read_volume
from mr2ct.synthesis import SyntheticCT, synthesize
from mr2ct.volume import Volume
from mr2ct.writing import write_volume

__version__ = "0.1.0"

__all__ = [
    "Model",
    "Mr2ctError",
    "SyntheticCT",
    "Volume",
    "choose_backend",
    "open_model",
    "read_volume",
    "synthesize",
    "write_volume",
]
