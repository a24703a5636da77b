"""What is asked of driver and machine: several cards, the choice of one, the doctor, a simulated card beside a real one."""

# ruff: noqa: SLF001 (what is inside is what is checked)

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys

import torch

import bigmodel_lab as lab
from benchmarks.gpu.path_kinds.base import MIB, Blocks, Path, fitted, folder, holds, rows, same, trainer_of
from bigmodel_lab.cli import main as command
from bigmodel_lab.samplers import SAMPLERS, cuda_devices, read_cards
from bigmodel_lab.training import choose_device

_CARDS = 4


def listed() -> str:
    """Every card with its memory, and CUDA is not initialised by that."""
    table = lab.gpus()
    holds("cards", table.cards)
    holds("each has its memory", all(card.device_total_bytes and card.name for card in table.cards))
    lab.doctor()
    lab.estimate_memory("mlp", gpu="T4")
    holds("nobody has initialised CUDA", not torch.cuda.is_initialized())
    same("as many as PyTorch sees", len(table.cards), torch.cuda.device_count())
    return f"{len(table.cards)} cards, {table.cards[0].name}; doctor and an estimate beside it; CUDA not initialised"


def chosen() -> str:
    """A number is that card, and the others stay empty; ``auto`` is one of them, with its reason."""
    run = fitted(device="cuda:2")
    same("weights", {str(p.device) for p in run.model.parameters()}, {"cuda:2"})
    same("card of the run file", run._place.choice.gpu_uuid, cuda_devices().uuids[2])
    others = [torch.cuda.memory_allocated(number) for number in (1, 3)]
    same("memory of other cards", others, [0, 0])
    automatic = choose_device("auto")
    holds("a card, and why", automatic.device.startswith("cuda:") and automatic.reason)
    return f"cuda:2 as asked; auto takes {automatic.device}"


def reordered() -> str:
    """``CUDA_VISIBLE_DEVICES=2,0``: cuda:0 is the third card of the driver, for PyTorch and for every sampler."""
    code = (
        "import torch, bigmodel_lab as lab\n"
        "from bigmodel_lab.samplers import cuda_devices, read_cards\n"
        "from bigmodel_lab.training import choose_device\n"
        "cards = read_cards().cards\n"
        "assert cuda_devices().uuids == (cards[2].uuid, cards[0].uuid), cuda_devices()\n"
        "assert choose_device('cuda:0').gpu_uuid == cards[2].uuid\n"
        "assert torch.cuda.device_count() == 2\n"
        "torch.zeros(1, device='cuda:0')\n"
        "assert str(torch.cuda.get_device_properties(0).uuid) in cards[2].uuid\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "2,0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    holds(ended.stderr.strip().splitlines()[-1:], ended.returncode == 0)
    return "cuda:0 is the third card, for the driver and for PyTorch"


def sampled() -> str:
    """The samplers of the second card tell its numbers, and what they do not know with a reason."""
    uuid = cuda_devices().uuids[1]
    held = torch.empty(2**27, dtype=torch.uint8, device="cuda:1")
    told = []
    for name in SAMPLERS.names():
        sampler = SAMPLERS.get(name)(read_cards().cards[1].uuid if name == "nvml" else uuid)
        sample = sampler.sample()
        unknown = {key for key, value in sample.values.items() if value is None}
        holds(f"{name}: each unknown has its reason", unknown <= set(sample.reasons))
        holds(f"{name} knows something", len(unknown) < len(sample.values))
        told.append(f"{name} {len(sample.values) - len(unknown)} of {len(sample.values)}")
        sampler.close()
    memory = SAMPLERS.get("cuda_memory")(uuid).sample().values
    same("allocated on the second card", memory["allocated_bytes"], held.numel())
    return ", ".join(told)


def commanded() -> str:
    """The commands that look at a machine, and one that trains on its card."""
    said = {}
    for line in (["gpus"], ["gpus", "--json"], ["doctor"], ["doctor", "--json"], ["runs", "--folder", folder()]):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = command(line)
        holds(f"{line} ends with {status}", status == 0 or line[0] == "doctor")
        said[" ".join(line[:2]) if line[-1] == "--json" else line[0]] = out.getvalue()
    cards = json.loads(said["gpus --json"])["cards"]
    same("cards", len(cards), len(read_cards().cards))
    os.environ["BIGMODEL_LAB_RUNS"] = folder()
    same("status", command(["run", "mlp", "--epochs", "1", "--device", "cuda:0"]), 0)
    (run,) = lab.runs(os.environ["BIGMODEL_LAB_RUNS"])
    same("device", lab.open_run(run.path).header["device"], "cuda:0")
    return ", ".join((*said, "run mlp --device cuda:0"))


def simulated() -> str:
    """A simulated card beside the real one: neither takes from the other."""
    real = Blocks().cuda()
    optimizer = torch.optim.AdamW(real.parameters())
    before = torch.cuda.memory_allocated()
    with lab.virtual_gpu("T4") as gpu:
        kept = torch.zeros(MIB)
        beside = torch.zeros(MIB, device="cuda")
        real(rows(64)[0].cuda()).sum().backward()
        optimizer.step()
    charged = gpu.allocated_bytes
    holds(f"{charged} bytes: only what lies on the CPU", charged < 6 * MIB)
    holds("the real card has its own", torch.cuda.memory_allocated() - before > 4 * MIB)
    del beside, kept
    run = lab.fit(Blocks(), rows(), max_steps=3, device="virtual:T4", runs_dir=folder())
    same("weights", {str(p.device) for p in run.model.parameters()}, {"cpu"})
    found = lab.find_batch_size("mlp", device="virtual:2GiB", at_most=256)
    same("of a simulated card", found.simulated, True)
    return f"{charged} bytes simulated while the real card computed; a run and a search on virtual cards"


def second_card() -> str:
    """Settings of a run on the second card concern that one alone, and the present device stays."""
    torch.cuda.set_device(0)
    run = fitted(device="cuda:1", precision="fp16", memory_fraction=0.5, activation_offload=True, max_steps=3)
    same("present device", torch.cuda.current_device(), 0)
    same("cap of the first", torch.cuda.get_per_process_memory_fraction(0), 1.0)
    same("cap of the second", torch.cuda.get_per_process_memory_fraction(1), 1.0)
    same("allocated on the first", torch.cuda.memory_allocated(0), 0)
    return f"{trainer_of(run).steps_made} steps in fp16, offloaded and capped; the first card empty"


PATHS = (
    Path("gpus, doctor, estimate without CUDA", listed),
    Path("four cards: gpus", listed, cards=_CARDS),
    Path("four cards: choice", chosen, cards=_CARDS, judged_by_a_card="auto, while others compute"),
    Path(
        "four cards: CUDA_VISIBLE_DEVICES",
        reordered,
        cards=_CARDS,
        not_emulated="the emulated driver numbers visible cards only",
    ),
    Path("four cards: samplers", sampled, cards=_CARDS, judged_by_a_card="power, clocks, temperature"),
    Path("two cards: fit on the second", second_card, cards=2),
    Path("commands: gpus, doctor, runs, run", commanded),
    Path("virtual_gpu beside a card", simulated),
)
"""All of this file."""
