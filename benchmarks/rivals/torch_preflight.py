"""torch-preflight: its command ``estimate`` with the name of a known architecture, or with a function that builds the model."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rivals.answers import figures, none, serve

_CARDS = {"T4": "t4", "A100-80": "a100-80gb", "H100-80": "h100-80gb", "H200": "h200"}
_PRECISIONS = {
    ("fp32", "fp32"): "fp32",
    ("bf16", "fp32"): "amp",
    ("fp16", "fp32"): "amp",
    ("fp32", "fp16"): "pure-fp16",
}
_OPTIMIZERS = ("sgd", "adam", "adamw")
_FACTORY = """import sys
sys.path.insert(0, {root!r})
from benchmarks.measured.catalogue import catalogue
from benchmarks.rivals.models import built


def model():
    return built(catalogue()[{name!r}], checkpointing=False)
"""


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Its projected peak: terms of tensors, fragmentation, context."""
    precision = _PRECISIONS.get((asked["autocast"], asked["weights"]))
    if precision is None:
        return none("it has no weights in 4 bits")
    if asked["optimizer"] not in _OPTIMIZERS:
        return none("it has no such optimizer")
    with tempfile.TemporaryDirectory() as folder:
        said = _ask(asked, precision, Path(folder))
    if said.get("error"):
        return none(said["error"])
    parts = said["breakdown"]
    if not parts["activations"]:
        return none("it could not run the model on the meta device with tokens or images, so it has no activations")
    context, total = parts["CUDA_context"], said["total_bytes"]
    return figures(total - context - parts["fragmentation"], total, context)


def _ask(asked: dict[str, Any], precision: str, folder: Path) -> dict[str, Any]:
    script = folder / "factory.py"
    script.write_text(_FACTORY.format(root=str(Path(__file__).resolve().parents[2]), name=asked["name"]), "utf-8")
    words = ["estimate", "--model", asked["known_as"] or f"{script}:model", "--batch-size", str(asked["samples"])]
    words += ["--dtype", precision, "--optimizer", asked["optimizer"]]
    words += ["--gpu", _CARDS[asked["card"]], "-f", "json"]
    for name in ("length", "image"):
        if asked[name]:
            words += [{"length": "--seq-len", "image": "--image-size"}[name], str(asked[name])]
    words += ["--checkpointing"] if asked["checkpointing"] else []
    words += ["--flash"] if asked["attention"] == "sdpa" else []
    words += [] if asked["is_training"] else ["--inference"]
    line = [str(Path(sys.executable).with_name("torch-preflight")), *words]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    if not ended.stdout.lstrip().startswith("{"):
        return {"error": (ended.stderr.strip().splitlines() or ["no output"])[-1][:200]}
    said: dict[str, Any] = json.loads(ended.stdout)
    return said if said["resolved"] else {"error": str(said["model"]["reason"])[:200]}


if __name__ == "__main__":
    serve(answer)
