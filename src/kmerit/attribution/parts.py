"""Scores in shares: blocks of sequences, each scored once and kept next to the file that they will be joined in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.errors import FormatError, RunError
from kmerit.io.scores import check_file
from kmerit.results import Identity
from kmerit.sequences import Int64, Sequences
from kmerit.store import (
    Share,
    StoredParts,
    Work,
    atomic_write,
    hold,
    json_digest,
    part_command,
    read_proof,
    read_record,
    refuse_other,
    refuse_other_kind,
    refuse_strangers,
    sha256,
    write_proof,
    write_record,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from kmerit.models.model import Model

LAYOUT = 1
"""Of the parts."""
_TARGETS, _DONE = "targets", "done.json"
_ENDINGS = ("arrow",)
_WHAT = "shares with other settings"


def folder_of(out: Path) -> Path:
    """Return the folder of the parts of a file of scores, next to it.

    Example:
        >>> folder_of(Path("scores.parquet")).name
        'scores.parquet.parts'
    """
    return out.with_name(f"{out.name}.parts")


def told_by_plan(model: Model, out: Path) -> Model:
    """Let a model make the matrix products of the plan, if there is one.

    Raises:
        RunMismatch: It cannot, or computes otherwise than the plan says.
    """
    folder = folder_of(out)
    record = read_record(folder / "settings.json") or (read_record(folder / _DONE) or {}).get("settings", {})
    return model.begun_with(record, folder, _WHAT)


class ScoreParts(StoredParts):
    """The blocks of a file of scores.

    Args:
        out: The file.
        model: What is explained.
        sequences: Whose scores they are.
        request: What is asked of them.
        block: Sequences to a part, which follows from the micro-batch.

    Raises:
        RunMismatch: There are parts of other settings, or files that are none of ours.
    """

    def __init__(self, out: Path, model: Model, sequences: Sequences, request: Mapping[str, Any], block: int) -> None:
        starts = range(0, len(sequences), block)
        identities = (Identity.of(sequences.take(slice(start, start + block))) for start in starts)
        contents = [json_digest([each.names, each.digests, each.windows, each.loci]) for each in identities]
        settings = {
            "layout": LAYOUT,
            "model_sha256": model.digest,
            "sequences_sha256": json_digest(contents),
            **request,
            **model.conditions,
        }
        super().__init__(folder_of(out), settings, out)
        self.out, self.count = out, len(starts)
        proof = read_record(self.parts / _DONE)
        record = read_record(self.started) or (proof or {}).get("settings")
        if record is None:
            refuse_strangers(self.parts, "shares of scores", lambda entry: False)
        else:
            refuse_other(self.parts, _WHAT, record, self.settings)
        whole = proof is not None and out.is_file() and sha256(out) == proof["scores_sha256"]
        self.finished = whole and (not request["check"] or read_record(check_file(out)) is not None)

    def plan(self, target: Int64 | None = None, found: Mapping[str, Any] | None = None) -> None:
        """Record what every share is held to.

        Args:
            target: ``int64 [sequence]``, what is explained; None where each pass finds its own.
            found: Settings of the scores that took a look at all sequences.
        """
        super().plan()
        names = [] if target is None else [f"{_TARGETS}.npy"]
        for name in names:
            with atomic_write(self.parts / name) as part, part.open("wb") as file:
                np.save(file, np.asarray(target, dtype=np.int64))
        write_proof(self.parts / f"{_TARGETS}.json", names, {"settings": self.digest, "found": dict(found or {})})

    def planned(self) -> tuple[Int64 | None, dict[str, Any]]:
        """Read what `plan` recorded.

        Raises:
            RunError: There is no plan, or it is damaged.
        """
        self.need_plan()
        record = read_proof(self.parts / f"{_TARGETS}.json")
        if record is None or record["settings"] != self.digest:
            raise RunError(f"{self.parts}: the plan is not whole. Make it again: {part_command('--plan')}")
        path = self.parts / f"{_TARGETS}.npy"
        return np.load(path) if path.name in record["files"] else None, record["found"]

    def make(self, index: int, table: pa.Table) -> None:
        """Keep a part."""
        import pyarrow as pa

        with atomic_write(self.path(index, "arrow")) as part, pa.ipc.new_file(str(part), table.schema) as writer:
            writer.write_table(table)
        self.prove(index, _ENDINGS)

    def read(self) -> Iterator[pa.Table]:
        """Read the parts back, in order.

        Raises:
            FormatError: One was damaged after it was looked at.
        """
        import pyarrow as pa

        for index in range(self.count):
            if not self.done(index):
                raise FormatError(f"{self.path(index, 'arrow')}: damaged. Give its share again.")
            with pa.OSFile(str(self.path(index, "arrow")), "rb") as source:
                yield pa.ipc.open_file(source).read_all()

    def finish(self) -> None:
        """Record that the file is whole, and remove the parts."""
        write_record(self.parts / _DONE, {"settings": self.settings, "scores_sha256": sha256(self.out)})
        self.remove(_ENDINGS, (f"{_TARGETS}.npy", f"{_TARGETS}.json"))


def work(
    share: Work,
    parts: Callable[[], ScoreParts],
    look: Callable[[], tuple[Int64 | None, Mapping[str, Any]]],
    table: Callable[[int, Int64 | None, Mapping[str, Any]], pa.Table],
    join: Callable[[Iterator[pa.Table], Int64 | None, Mapping[str, Any]], object],
    out: Path,
) -> None:
    """Do one part of the work on a file of scores.

    Args:
        share: The plan, a share, or joining them.
        parts: Opens the parts.
        look: Takes the look at all sequences that the plan needs: targets and settings.
        table: Scores a block, by its number.
        join: Writes the file.
        out: The file.

    Raises:
        RunError: A share without a plan, or to be gathered before every share is there; ``out`` is no file.
        RunMismatch: Of another plan.
        RunLocked: Another process makes the same share, or one is still at work.
    """
    refuse_other_kind(out, file=True)
    if isinstance(share, Share):
        with StoredParts(folder_of(out), {}, out).holding(share):
            score_parts = parts()
            if not score_parts.finished:
                plan = score_parts.planned()
                for index in range(score_parts.count):
                    if index in share and not score_parts.done(index):
                        score_parts.make(index, table(index, *plan))
        return
    with hold(folder_of(out)):
        score_parts = parts()
        if score_parts.finished:
            return
        if share == "plan":
            score_parts.plan(*look())
            return
        score_parts.need_idle()
        score_parts.need_all(score_parts.count)
        join(score_parts.read(), *score_parts.planned())
        score_parts.finish()
