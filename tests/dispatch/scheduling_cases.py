"""Jobs and servers as the scheduler sees them, by hand and by Hypothesis."""

import itertools
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st

from dispatch.scheduling import Candidate, ServerState
from models_catalog.resolve import KnownModel

# How long an example takes says nothing on a machine that is busy with other tests.
checked = settings(deadline=None, max_examples=60, database=None)

MODELS = ("x", "y", "z")
ALIASES = ("a", "b", "c")
_numbers = itertools.count(1000)  # after all that tests name


def listed(*names):
    """Return listed checkpoints."""
    return tuple(KnownModel(f"{name}.safetensors") for name in names)


def candidate(checkpoint="", *, lane_class=0, priority=5, position=0, number=0, **fields):
    """Make a job; later ones come later in their group."""
    number = number or next(_numbers)
    uuid = UUID(int=number)
    rank = (lane_class, priority, position or number, uuid.hex)
    return Candidate(id=uuid, app_type="forge", checkpoint=checkpoint, rank=rank, **fields)


def state(alias="a", **fields):
    """Make a healthy server that lists all models."""
    fields.setdefault("checkpoints", listed(*MODELS))
    return ServerState(alias=alias, app_type=fields.pop("app_type", "forge"), **fields)


def some_jobs(**changes):
    """Return a strategy for lists of jobs of all kinds."""
    jobs = st.builds(
        candidate,
        st.sampled_from(["", *MODELS, "x.safetensors", "unknown"]),
        lane_class=st.integers(0, 1),
        priority=st.integers(4, 6),
        position=st.integers(1, 5),
        target=st.sampled_from(["", "", "", *ALIASES, "removed"]),
        waited=st.sampled_from([0.0, 30.0, 59.0, 61.0, 1e6]),
        avoid=st.sampled_from([frozenset(), frozenset(), frozenset("a"), frozenset("ab")]),
        not_due=st.sampled_from(["", "", "", "It starts tomorrow."]),
        **changes,
    )
    return st.lists(jobs, max_size=8)


def some_server(alias, **changes):
    """Return a strategy for a server in any state."""
    usually = st.sampled_from([True, True, True, False])
    parts = {
        "app_type": st.sampled_from(["forge", "forge", "forge", "other"]),
        "enabled": usually,
        "paused": usually.map(lambda yes: not yes),
        "healthy": usually,
        "checkpoints": st.none() | st.sets(st.sampled_from(MODELS)).map(lambda n: listed(*n)),
        "loaded": st.sampled_from(["", "x.safetensors", "y.safetensors", "unknown"]),
        "load_seconds": st.sampled_from([5.0, 20.0]),
        "free_in": st.sampled_from([0.0, 1.0, 10.0, 19.0, 30.0, 1e4]),
        "has_lane": usually,
        **changes,
    }
    return st.builds(state, st.just(alias), **parts)


def some_servers(**changes):
    """Return a strategy for three servers in any state."""
    return st.tuples(*(some_server(alias, **changes) for alias in ALIASES)).map(list)
