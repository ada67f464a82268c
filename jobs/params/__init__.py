"""The parameters of a job: checked, under canonical names (contracts/api.md)."""

from jobs.params.normalise import Normalised, normalise

__all__ = ["Normalised", "normalise"]
