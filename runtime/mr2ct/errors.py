"""What can go wrong, as a caller must tell it apart.

    Mr2ctError
    ├── VolumeError   the input volume cannot be used            exit code 3
    │   └── RefusedError   the gate: not what the model was trained on   exit code 7
    ├── ModelError    the model folder cannot be trusted         exit code 4
    ├── DeviceError   the named device or engine is not there    exit code 5
    └── OutputError   the result could not be written            exit code 6

Every message is one line: what, where, what would work.
"""


class Mr2ctError(Exception):
    """A failure that is told to the user in one line, without a traceback."""

    exit_code = 1


class VolumeError(Mr2ctError, ValueError):
    """The input volume is damaged, of the wrong kind, or has no usable head in it."""

    exit_code = 3


class RefusedError(VolumeError):
    """The gate refuses the volume: it is far from what the model was trained on, and --force was not given.

    measures: the names of those that are outside.
    """

    exit_code = 7

    def __init__(self, message: str, measures: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.measures = measures


class ModelError(Mr2ctError, ValueError):
    """The model folder is incomplete, altered, foreign or not certified."""

    exit_code = 4


class DeviceError(Mr2ctError, RuntimeError):
    """The device or the inference engine that was named is not available here."""

    exit_code = 5


class OutputError(Mr2ctError, OSError):
    """The result could not be written; nothing was left behind."""

    exit_code = 6
