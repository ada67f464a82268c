"""How long things are kept: rules by age, count and size, off until somebody switches them on.

What waits or runs is never touched, nor what a waiting job needs. Files of pictures and inputs go
by the collectors, once no row names them (protocol rule 22).
"""

from mobilesd.retention.figures import Figure, Kind
from mobilesd.retention.rules import KINDS, apply, apply_active, figure, rules

__all__ = ["KINDS", "Figure", "Kind", "apply", "apply_active", "figure", "rules"]
