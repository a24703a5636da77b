"""The compared loops do the same work, each in a real kernel."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import bigmodel_lab as lab
from benchmarks.loops import bare
from benchmarks.loops.base import Batches, Job
from benchmarks.loops.dataloader import MnistLike
from benchmarks.measuring.kernel import Kernel
from benchmarks.measuring.rows import run_cell
from benchmarks.measuring.workloads import WORKLOADS

LOOPS = sorted(p.stem for p in Path(bare.__file__).parent.glob("[!_]*.py") if p.stem not in {"base", "dataloader"})


def tiny() -> Job:
    """The smallest workload, with the same weights each time."""
    work = WORKLOADS["tiny"]
    torch.manual_seed(0)
    return Job(work.build(), work.data, work.batch, work.all_steps)


@pytest.mark.parametrize("loop", LOOPS)
def test_every_loop_passes_its_block_in_a_real_kernel(kernel: Kernel, loop: str) -> None:
    """Each loop makes its steps, and both stamps are taken."""
    cost = run_cell(kernel, "tiny", loop)

    assert 0 < cost.thread_us <= cost.process_us * 1.01
    assert cost.wall_us > 0


def test_the_source_documents_loop_passes_its_block(kernel: Kernel) -> None:
    """The DataLoader loop trains the images of the document's own model."""
    assert run_cell(kernel, "simple_cnn", "dataloader").wall_us > 0


def test_bare_and_fit_compute_the_same_numbers(tmp_path: Path) -> None:
    """From the same weights, the bare loop's losses and accuracies are fit's, to the bit."""
    losses, accuracies = bare.run(tiny())
    job = tiny()

    run = lab.fit(job.model, job.data, epochs=1, micro_batch_size=job.batch, device="cpu", runs_dir=tmp_path)

    assert run.series("loss").value.tolist() == losses
    assert run.series("accuracy").value.tolist() == accuracies


def test_batches_can_be_passed_over_again() -> None:
    """Lightning takes the batches as often as it likes: they are the same each time."""
    batches = Batches(tiny())

    first, again = [[x for x, _ in batches] for _ in range(2)]

    assert len(first) == len(batches)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_images_of_the_document_are_scaled_as_totensor_does() -> None:
    """A sample is (1, height, width), float32, its pixels divided by 255."""
    images = torch.arange(28 * 28, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(1, 1, 28, 28)

    image, label = MnistLike(images, torch.tensor([7]))[0]

    assert (tuple(image.shape), image.dtype, label) == ((1, 28, 28), torch.float32, 7)
    np.testing.assert_array_equal(image.numpy(), images[0].numpy() / np.float32(255))


def test_losses_of_the_bare_loop_are_finite() -> None:
    """The compared training is a real one."""
    losses, _ = bare.run(tiny())

    assert all(map(math.isfinite, losses))
