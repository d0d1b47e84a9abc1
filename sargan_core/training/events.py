"""Losses for TensorBoard, written at once, so that a full disk is said where it happens."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from os import getpid
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from sargan_core.photo.files import explaining

FORMAT = "brain.Event:2"


class EventFile:
    """One file of events in a run folder.

    The library's own writer does its work in a thread, which ends with a traceback when the disk is full.

    Args:
        folder: the run folder.
        first: the first step; what earlier files of the folder hold from there on is not shown any more.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{getpid()}"
        with explaining(self.path):
            self._stream = self.path.open("ab")
        self._records = RecordWriter(self._stream)
        start = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), file_version=FORMAT))
        self._write(Event(wall_time=time.time(), step=first, session_log=start))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step; PhotoError as for ``replacing``."""
        listed = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=listed)))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _write(self, event: Any) -> None:
        with explaining(self.path):
            self._records.write(event.SerializeToString())
            self._stream.flush()
