"""The small interface behind which every kind of backend stands.

Lanes know only these types; a new app type is one more class in the registry.
"""

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, ClassVar
from uuid import UUID

from dispatch.inventory import ServerInventory

__all__ = [
    "Address",
    "Answer",
    "BackendError",
    "CompanionReport",
    "Dispatcher",
    "ErrorClass",
    "LostAnswer",
    "Memory",
    "NeverReached",
    "Order",
    "Part",
    "Picture",
    "Presence",
    "Probe",
    "Progress",
    "Relief",
    "Request",
]


class ErrorClass(StrEnum):
    """What follows from an error (design §6)."""

    PERMANENT = "permanent"
    ELSEWHERE = "elsewhere"
    TRANSIENT = "transient"
    OUT_OF_MEMORY = "out_of_memory"
    POISONED = "poisoned"
    STALLED = "stalled"
    OURS = "ours"


class BackendError(Exception):
    """The backend answered, and the answer is no picture: with code, message and hint."""

    def __init__(
        self,
        error_class: ErrorClass,
        code: str,
        message: str,
        hint: str = "",
        *,
        poisons: bool = False,
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.code = code
        self.message = message
        self.hint = hint
        self.poisons = poisons


class NeverReached(Exception):
    """The request surely was not taken: it may be sent again with a new token.

    `health` is the value of dispatch.models.Health that this means for the server.
    """

    def __init__(self, message: str, health: str = "offline") -> None:
        super().__init__(message)
        self.message = message
        self.health = health


class LostAnswer(Exception):
    """The request may have been taken, and its answer is lost (protocol rule 9).

    `code` is set when there was an answer that could not be read; then the job is to blame too.
    """

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint


class Presence(Enum):
    """Whether the backend still has an attempt. RESUMABLE: it runs or has ended, and its answer can
    be had by its token."""

    HERE = "here"
    RESUMABLE = "resumable"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Address:
    """Where a backend is; password and token never show in a repr or a log.

    `companion_token` is for what we installed there ourselves (CompanionReport).
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    companion_token: str = field(default="", repr=False)

    @property
    def authorization(self) -> dict[str, str]:
        """Return the header of Basic authentication; nothing without a user name."""
        if not self.username:
            return {}
        pair = f"{self.username}:{self.password}".encode()
        return {"Authorization": "Basic " + b64encode(pair).decode("ascii")}


@dataclass(frozen=True)
class CompanionReport:
    """What is known of our companion at a backend; `text` says what is wrong, or what it gives."""

    ok: bool
    text: str
    version: str = ""


@dataclass(frozen=True)
class Probe:
    """What a look at a backend found; `health` is a value of dispatch.models.Health.

    `companion` is None where there is none, and no token for one.
    """

    health: str
    text: str = ""
    has_task_ids: bool = True
    companion: CompanionReport | None = None


@dataclass(frozen=True)
class Order:
    """A job as the dispatcher gets it, inputs restored."""

    kind: str
    params: Mapping[str, Any]
    checkpoint: str = ""


@dataclass(frozen=True)
class Part:
    """Some of a job's pictures as an order of their own: its parameters, and how many they are."""

    params: Mapping[str, Any]
    images: int


@dataclass(frozen=True)
class Request:
    """What is sent, ready; `asked` is what the answer will be compared with.

    `checkpoint` is in the server's own spelling; "" takes whatever is selected there.
    `uses_model` false: no checkpoint has a part in it, and its duration says nothing of one.
    """

    path: str
    body: Mapping[str, Any]
    checkpoint: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    uses_model: bool = True


@dataclass(frozen=True)
class Picture:
    """One result, as bytes of an image file."""

    data: bytes = field(repr=False)
    infotext: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Answer:
    """A read answer; `rejected` says why the pictures are not what was asked for.

    `interrupted`: whether somebody else ended the run early; None: the answer does not tell.
    """

    pictures: Sequence[Picture]
    generation_info: Mapping[str, Any]
    warnings: Sequence[str] = ()
    checkpoint: str = ""
    rejected: BackendError | None = None
    interrupted: bool | None = None


@dataclass(frozen=True)
class Progress:
    """How far an attempt is. `fraction` 0..1; `eta` in seconds, None when unknown.

    `active`: it is the one that runs; `waiting`: it stands behind others. `sampling`: at least
    one step is done. `interrupted`: the backend says that somebody interrupted what runs.
    """

    active: bool = False
    waiting: bool = False
    fraction: float = 0.0
    eta: float | None = None
    sampling: bool = False
    interrupted: bool = False
    text: str = ""
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Relief:
    """A measure against too little memory: the parameters after it, and what it is in words.

    `words` tell it of a picture that was made, `short` of one that is to be: "with a tiled VAE".
    """

    params: Mapping[str, Any]
    words: str
    short: str


@dataclass(frozen=True)
class Memory:
    """The memory of a backend's GPU; `own_mb` is what the backend itself holds of it."""

    free_mb: int
    total_mb: int
    own_mb: int = 0

    @property
    def available_mb(self) -> int:
        """Return what the backend can have as long as nobody else takes it."""
        return self.free_mb + self.own_mb


class Dispatcher(ABC):
    """Talks to one backend. Methods block; every one has a time limit but `run`.

    One instance is used by one thread at a time.
    """

    app_type: ClassVar[str]
    label: ClassVar[str]
    # What our companion at such a backend gives and where its token is shown; "": there is none.
    companion_hint: ClassVar[str] = ""

    def __init__(self, address: Address) -> None:
        self.address = address

    @classmethod
    def order_warnings(cls, params: Mapping[str, Any]) -> Sequence[str]:
        """Return what `prepare` will warn of whatever server it is, from the parameters alone.

        The same sentences: who submits a job reads them at once, and each only once.
        """
        return ()

    @classmethod
    def relieve(
        cls, params: Mapping[str, Any], step: int, inventory: ServerInventory | None
    ) -> Relief | None:
        """Return the parameters after the given step against too little memory.

        Steps are counted from 1 and taken one after the other, each on what the one before left.
        None where this step would change nothing. The seeds of the pictures stay what they are.
        """
        return None

    @classmethod
    def part(
        cls, kind: str, params: Mapping[str, Any], made: int, *, whole: bool = False
    ) -> Part | None:
        """Return what makes a job's next pictures, after so many are made.

        As few as can be made at once, or all that are left (`whole`). They must be the very ones
        that the whole job would have made at these places. None for a job that can't be cut, or
        that would be the whole job.
        """
        return None

    @classmethod
    def merged(cls, before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        """Return the generation_info of pictures that were made one part after the other.

        As if made at once: lists go on, and all else is what the first part said.
        """
        found = dict(before)
        for name, value in before.items():
            if isinstance(value, list):
                if isinstance(more.get(name), list):
                    found[name] = [*value, *more[name]]
                else:  # half a list would name the wrong pictures
                    del found[name]
        if "image_count" in before:
            found["image_count"] = before["image_count"] + more.get("image_count", 0)
        return found

    @classmethod
    def knows_by_token(cls, kind: str) -> bool:
        """Tell whether the backend can be asked for a job of this kind by its token.

        Where not, it is treated as on a backend without task ids.
        """
        return True

    def memory(self) -> Memory | None:
        """Return how much GPU memory is free, or None if the backend can't say. Never raises."""
        return None

    def foreign_work(self) -> str:
        """Say what others make there now, "" if nothing shows. Never raises.

        Asked only while nothing of ours is there.
        """
        return ""

    @abstractmethod
    def probe(self, timeout: float = 5) -> Probe:
        """Look whether the backend is up and lets us in. Never raises."""

    @abstractmethod
    def inventory(self) -> ServerInventory:
        """Return what the backend has; raises BackendError or NeverReached."""

    @abstractmethod
    def prepare(self, order: Order, inventory: ServerInventory | None) -> Request:
        """Build the request; raises BackendError (permanent, elsewhere) before anything is sent."""

    @abstractmethod
    def run(self, request: Request, token: UUID) -> Answer:
        """Send the request once, wait for its answer however long it takes, and read it.

        Raises BackendError, NeverReached or LostAnswer. Sends at most once (protocol rule 7).
        """

    def resume(self, request: Request, token: UUID) -> Answer:
        """Wait for the answer of an attempt that is RESUMABLE, whoever sent it, and read it.

        Sends nothing. Raises BackendError, or LostAnswer where the backend does not have it.
        """
        raise LostAnswer("This backend keeps no answers.")

    def cancel(self, token: UUID) -> bool | None:
        """End an attempt by its token, be it running or waiting, and surely no other.

        False: the backend can't do that for this one; None: it could not be told. Never raises;
        may be called again.
        """
        return False

    def forget(self, token: UUID) -> None:
        """Tell the backend that nobody will ask for this attempt any more. Never raises.

        What is left of it there may go, and it must not begin if it comes late.
        """
        return

    @abstractmethod
    def progress(self, token: UUID, *, preview: bool, task_ids: bool) -> Progress | None:
        """Return how far an attempt is, or None if the backend did not say."""

    @abstractmethod
    def presence(self, token: UUID, *, task_ids: bool) -> Presence:
        """Tell whether the backend still has the attempt (protocol rules 10, 17, 18)."""

    @abstractmethod
    def leftovers(self) -> frozenset[str]:
        """Return the waiting entries of an idle backend that will never run (rule 18)."""

    @abstractmethod
    def alone(self, token: UUID, leftovers: frozenset[str]) -> bool:
        """Tell whether the attempt runs and nothing waits behind it (rule 15 a, b)."""

    @abstractmethod
    def interrupt(self) -> None:
        """Ask the backend to stop what runs now; best effort."""

    @abstractmethod
    def was_interrupted(self) -> bool:
        """Tell whether the idle backend's last run was interrupted (protocol §2)."""

    @abstractmethod
    def heal(self, checkpoint: str) -> bool:
        """Run the smallest job with another checkpoint, to mend a poisoned backend (rule 19)."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all connections."""
