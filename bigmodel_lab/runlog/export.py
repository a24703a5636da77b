"""A run in other programs' formats: CSV, Parquet, TensorBoard.

Wall times are kept, and numbers that were not measured say so in every format.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.runlog.base import Block, Source, StreamHeader

_ROWS = 65_536  # at a time, so that a long run fits in memory


def export_csv(source: Source, folder: str | os.PathLike[str]) -> list[Path]:
    """Write one CSV file a stream: step, seconds since the start, UTC time, origin, one column a key.

    Unknown values are empty.

    Args:
        source: A run, live or from a file.
        folder: Where the files go; made if need be.

    Returns:
        The files.
    """
    header, paths = source.header(), []
    for stream in source.streams():
        paths.append(_target(source, folder, f".{stream.name}.csv"))
        with paths[-1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["step", "elapsed_seconds", "wall_time", "origin", *stream.keys])
            for block in blocks(source, stream.name):
                writer.writerows(_csv_rows(header, block))
    return paths


def export_parquet(source: Source, folder: str | os.PathLike[str]) -> list[Path]:
    """Write one Parquet file a stream; facts about the run, origin first, lie in the file's metadata.

    Args:
        source: A run, live or from a file.
        folder: Where the files go; made if need be.

    Returns:
        The files.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "export to Parquet", "export") from error
    paths = []
    for stream in source.streams():
        paths.append(_target(source, folder, f".{stream.name}.parquet"))
        schema = _schema(pa, source.header(), stream)
        with parquet.ParquetWriter(paths[-1], schema) as writer:
            for block in blocks(source, stream.name):
                writer.write_table(pa.table(_columns(source.header(), stream, block), schema=schema))
    return paths


def export_tensorboard(source: Source, folder: str | os.PathLike[str]) -> Path:
    """Write TensorBoard's event file into a folder named after the run, without TensorFlow or torch.

    Each value is a scalar ``stream/key`` with its own wall time; what was not measured is
    called ``simulated/stream/key``, or ``recorded/…``.

    Args:
        source: A run, live or from a file.
        folder: TensorBoard's log folder; made if need be.

    Returns:
        The run's folder.

    Raises:
        MissingPackageError: tensorboard is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise MissingPackageError("tensorboard", "export to TensorBoard", "export") from error
    path = _target(source, folder, "")
    writer = EventFileWriter(str(path), max_queue_size=1000)
    try:
        for stream in source.streams():
            for tag, step, wall_s, value in _scalars(source, stream):
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                writer.add_event(Event(wall_time=wall_s, step=step, summary=summary))
    finally:
        writer.close()
    return path


def blocks(source: Source, stream: str) -> Iterator[Block]:
    """All rows of a stream that are there now, in blocks; rows that are lost are passed over."""
    start, stop = 0, source.count(stream)
    while start < stop:
        block = source.read(stream, start, min(_ROWS, stop - start))
        if not len(block):
            return
        yield block
        start = block.next


def wall_ns(header: Mapping[str, Any], monotonic_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Wall time, as ``time.time_ns()``, of moments in the clock of a run."""
    offset = int(header["started_wall_ns"]) - int(header["started_monotonic_ns"])
    return monotonic_ns + offset


def _target(source: Source, folder: str | os.PathLike[str], ending: str) -> Path:
    path = Path(folder) / f"{source.header()['run_id']}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _elapsed_s(header: Mapping[str, Any], block: Block) -> NDArray[np.float64]:
    return (block.monotonic_ns - int(header["started_monotonic_ns"])) / 1e9


def _csv_rows(header: Mapping[str, Any], block: Block) -> Iterator[list[object]]:
    times = zip(_elapsed_s(header, block).tolist(), wall_ns(header, block.monotonic_ns).tolist(), strict=True)
    for step, (elapsed, wall), values in zip(block.step.tolist(), times, block.values.tolist(), strict=True):
        known = ["" if value != value else repr(value) for value in values]  # noqa: PLR0124 - NaN
        moment = datetime.fromtimestamp(wall / 1e9, timezone.utc).isoformat()
        yield [step, f"{elapsed:.9f}", moment, header["origin"], *known]


def _schema(pa: Any, header: Mapping[str, Any], stream: StreamHeader) -> Any:
    fields = [("step", pa.int64()), ("elapsed_seconds", pa.float64()), ("wall_time", pa.timestamp("ns", "UTC"))]
    fields += [(key, pa.float64()) for key in stream.keys]
    facts = {key: str(header[key]) for key in ("origin", "run_id", "name")}
    return pa.schema(fields, metadata=facts)


def _columns(header: Mapping[str, Any], stream: StreamHeader, block: Block) -> dict[str, NDArray[Any]]:
    wall = wall_ns(header, block.monotonic_ns)
    columns: dict[str, NDArray[Any]] = {"step": block.step, "elapsed_seconds": _elapsed_s(header, block)}
    columns["wall_time"] = wall.astype("datetime64[ns]")
    return {**columns, **{key: block.values[:, k] for k, key in enumerate(stream.keys)}}


def _scalars(source: Source, stream: StreamHeader) -> Iterator[tuple[str, int, float, float]]:
    header = source.header()
    prefix = "" if header["origin"] == "measured" else f"{header['origin']}/"
    tags = [f"{prefix}{stream.name}/{key}" for key in stream.keys]
    for block in blocks(source, stream.name):
        wall = (wall_ns(header, block.monotonic_ns) / 1e9).tolist()
        for row, column in np.argwhere(~np.isnan(block.values)).tolist():
            # a sample before the first step counts to step 0
            yield tags[column], max(int(block.step[row]), 0), wall[row], float(block.values[row, column])
