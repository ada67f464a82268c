"""An engine that makes no pictures: tests decide when its runs begin, step and end."""

import json
import threading

from mobilesd_forge.companion.engine import Facts, Look, Outcome


class HandEngine:
    """Runs wait at `step()` and `finish()`, as sampling does; one at a time, like a GPU."""

    def __init__(self):
        self.begun = []
        self.stopped = []
        self.apps = []
        self.looks = {}
        self.problems = ()
        self._gpu = threading.Lock()
        self._turn = threading.Condition()
        self._steps = 0
        self._sampling = False
        self.encoded = threading.Event()  # the answer is written down when this is set
        self.encoded.set()
        self._ends = []

    def attach(self, app):
        self.apps.append(app)

    def facts(self):
        return Facts("by hand", "1", problems=self.problems)

    def run(self, kind, payload, token, stop, released):
        with self._gpu:
            self.begun.append(token)
            outcome = self._sample(token, stop)
        released()
        self.encoded.wait(10)
        return outcome

    def _sample(self, token, stop):
        with self._turn:
            taken, self._sampling = self._steps, True
            self._turn.notify_all()
            while True:
                if self._ends:
                    end = self._ends.pop(0)
                    break
                if self._steps > taken:
                    taken = self._steps
                    if stop():
                        self._sampling = False
                        self.stopped.append(token)
                        return Outcome(200, b'{"half": "baked"}')
                self._turn.wait(10)
            self._sampling = False
        if isinstance(end, BaseException):
            raise end
        return end

    def look(self, token, *, preview):
        return self.looks.get(token, Look(active=True)) if token in self.begun else None

    def step(self, seconds=5):
        """Let the run that samples, or will in a moment, come to its next step."""
        with self._turn:
            self._turn.wait_for(lambda: self._sampling, timeout=seconds)
            self._steps += 1
            self._turn.notify_all()

    def finish(self, outcome=None):
        """Let the run that samples, or the next one, end like this."""
        with self._turn:
            self._ends.append(outcome or answered())
            self._turn.notify_all()


def answered(status=200, **body):
    """Return an outcome with a body."""
    return Outcome(status, json.dumps(body or {"images": ["eA=="]}).encode())
