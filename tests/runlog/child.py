"""A run in a process of its own, for tests that kill it: logs steps of about 0.3 ms.

Before each step it writes the wall time of the last appended row into a shared file of
two numbers (count, time), which survives the kill.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

from bigmodel_lab.runlog import RunLog

told = struct.Struct("=qq")


def main(folder, board_path):
    """Append until killed."""
    log = RunLog.create("killed", folder)
    steps = log.stream("step", keys=("loss", "accuracy", "step_seconds", "samples_per_second"))
    samples = log.stream("host", axis="time", keys=("process_resident_bytes",))
    with Path(board_path).open("r+b") as file:
        board = mmap.mmap(file.fileno(), told.size)
    sys.stdout.write(f"{log.path}\n")
    sys.stdout.flush()
    step = 0
    while True:
        steps.append(step, time.monotonic_ns(), (0.5, 0.25, 0.0003, 100_000.0))
        step += 1
        told.pack_into(board, 0, step, time.monotonic_ns())
        if step % 100 == 0:
            samples.append(step, time.monotonic_ns(), (float(step),))
        if step % 1000 == 0:
            log.event("mark", step=step)
        time.sleep(0.0003)


if __name__ == "__main__":
    main(*sys.argv[1:])
