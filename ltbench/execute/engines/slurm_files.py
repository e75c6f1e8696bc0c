"""What lies in ``<results>/.slurm``: events of trials, which job each is in, and submitit's files."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.execute.engine import FINAL, Event, Message
from ltbench.execute.engines.slurm_job import Told
from ltbench.files import json_text, read_json, write_text

_LOG = 20_000  # bytes of a log that are kept with a failure


@dataclass
class Submitted:
    """A trial that was given to a job. digest: of the message; offset: bytes of events read."""

    trial: str
    digest: str
    told: Told
    stop_file: str
    job: str = ""
    offset: int = 0
    started: bool = False

    def read(self) -> Iterator[Event]:
        """Events that came since the last call; a line that is being written is left for the next."""
        try:
            with Path(self.told.events).open("rb") as file:
                file.seek(self.offset)
                content = file.read()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            event: Any = json.loads(line)
            yield event

    def read_again(self) -> list[Event]:
        """All events so far, without moving on."""
        return list(Submitted(self.trial, self.digest, self.told, self.stop_file).read())


class SlurmFiles:
    """The folder, which only its owner may enter: submitit unpickles what lies there."""

    ended = FINAL - {"lost", "returned", "cancelled"}

    def __init__(self, results: Path) -> None:
        self.folder = results / ".slurm"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    def new(self, message: Message, stop_file: str) -> Submitted:
        """For a trial that will be submitted; its events get a file that no other job writes to."""
        trial, text = str(message["trial"]), json.dumps(message)
        events = self.folder / "events" / f"{trial}_{secrets.token_hex(4)}.jsonl"
        events.parent.mkdir(exist_ok=True)
        return Submitted(trial, _digest(text), Told(text, str(events)), stop_file)

    def place(self, submitted: Submitted, job: str) -> Submitted:
        """Remembers in which job it is, for a later call."""
        submitted.job = job
        facts = {
            "job": job,
            "message": submitted.digest,
            "events": submitted.told.events,
            "stop": submitted.stop_file,
        }
        # Not durable: of thousands of trials each would wait for the disk, and claims protect them.
        write_text(self._path(submitted.trial), json_text(facts, indent=None), durable=False)
        return submitted

    def known(self, trial: str, message: Message) -> Submitted | None:
        """Where the trial was placed last, if it was asked for the very same."""
        path, text = self._path(trial), json.dumps(message)
        try:
            facts = read_json(path)
            digest, told = str(facts["message"]), Told(text, str(facts["events"]))
            found = Submitted(trial, digest, told, str(facts["stop"]), str(facts["job"]))
        except (InputError, KeyError, TypeError):
            return None
        return found if digest == _digest(text) else None

    def errors_of(self, job: str) -> str:
        """The end of what the job wrote to stderr."""
        path = self.folder / job / f"{job}_0_log.err"
        try:
            return path.read_bytes()[-_LOG:].decode("utf-8", "replace")
        except OSError:
            return ""

    def _path(self, trial: str) -> Path:
        return self.folder / "trials" / f"{trial}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
