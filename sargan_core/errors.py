"""The exceptions of sargan; each message names the file, what is wrong and the next step."""


class SarganError(Exception):
    """Base of every error that sargan raises on purpose."""


class UsageError(SarganError):
    """The request contradicts itself, or names something that does not exist (exit code 2)."""


class PhotoError(SarganError):
    """A photo cannot be read or written (exit code 1)."""


class NoFaceError(SarganError):
    """A photo holds no face, or not the face that was asked for (exit code 1)."""


class OutputExistsError(SarganError):
    """An output is in the way and overwriting was not asked for (exit code 1)."""


class WeightsError(SarganError):
    """A weights file is missing, damaged or does not fit (exit code 3)."""


class DataError(SarganError):
    """A training data folder does not hold what training needs (exit code 1)."""


class WorkerLostError(SarganError):
    """A worker process was killed from outside (exit code 1)."""


class TrainingError(SarganError):
    """Training cannot go on, for instance because a loss is not finite (exit code 1)."""
