"""The loop of the source document (D2, project chapter): DataLoader, ToTensor, a line every 100 steps.

As there, each sample goes through a Pillow image and ``ToTensor`` (here as torchvision does it,
which has no build for every machine), the batches are shuffled, and the loss is read only where
it is printed. On a GPU the document adds autocast and a gradient scaler; a CPU computes in fp32.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.loops.base import Job

TITLE = "DataLoader loop of the source document"


def run(job: Job) -> None:
    """One epoch as printed in the document."""
    optimizer = torch.optim.Adam(job.model.parameters(), lr=job.learning_rate)
    loader = DataLoader(MnistLike(job.data.train.x, job.data.train.y), batch_size=job.batch, shuffle=True)
    job.model.train()
    for number, (x, y) in enumerate(loader):
        if number == job.steps:
            break
        optimizer.zero_grad()
        loss = F.cross_entropy(job.model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if number % 100 == 0:
            print(f"Step [{number + 1}/{len(loader)}], Loss: {loss.item():.4f}")


class MnistLike(Dataset[tuple[Tensor, int]]):
    """``torchvision.datasets.MNIST`` with ``transforms.ToTensor()``, on images in memory."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images, self._labels = images.reshape(-1, *images.shape[-2:]), labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return to_tensor(Image.fromarray(self._images[index].numpy())), int(self._labels[index])


def to_tensor(image: Image.Image) -> Tensor:
    """``torchvision.transforms.ToTensor`` of a grey image: (1, height, width), float32, 0 … 1."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    return pixels.view(image.height, image.width, 1).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
