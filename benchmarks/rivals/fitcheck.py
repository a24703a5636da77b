"""fitcheck: its command with a ``config.json`` that lies in the Hub's cache, as its documents say for a machine without network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rivals.answers import figures, none, serve

_CARDS = {"T4": "t4", "A100-80": "a100-80", "H100-80": "h100-80", "H200": "h200"}
_MIB = 2**20
_CONTEXT_MIB, _USUAL_CONTEXT_MIB = 140.875, 500
"""What its overhead holds for the context: measured on a T4, and for all other cards."""
_REVISION = "0" * 40


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Its five parts of tensors, and their sum with its overhead."""
    if not asked["config"]:
        return none("it knows decoders with a gated feed-forward part only")
    if not asked["is_training"]:
        return none("of inference it knows serving with a cache of keys and values only")
    with tempfile.TemporaryDirectory() as folder:
        ended = _ask(asked, Path(folder))
    if not ended.stdout.lstrip().startswith("{"):
        return none((ended.stderr.strip().splitlines() or ["no output"])[-1][:200])
    said = json.loads(ended.stdout)
    parts = said["memory_mib"]
    context = _CONTEXT_MIB if asked["card"] == "T4" else _USUAL_CONTEXT_MIB
    return figures((parts["total"] - parts["overhead"]) * _MIB, parts["total"] * _MIB, context * _MIB)


def _ask(asked: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    model = folder / "hub" / f"models--measured--{asked['name']}"
    snapshot = model / "snapshots" / _REVISION
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(asked["config"]), "utf-8")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(_REVISION, "utf-8")
    environment = {**os.environ, "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1"}
    line = [str(Path(sys.executable).with_name("fitcheck")), f"measured/{asked['name']}", *_words(asked)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)


def _words(asked: dict[str, Any]) -> list[str]:
    quantized = asked["weights"] == "nf4"
    words = ["--batch-size", str(asked["samples"]), "--seq-len", str(asked["length"]), "--json"]
    words += ["--precision", "fp16" if quantized else asked["weights"], "--gpu", _CARDS[asked["card"]]]
    words += ["--quant", "nf4"] if quantized else []
    words += ["--grad-checkpoint"] if asked["checkpointing"] else []
    words += ["--flash-attn"] if asked["attention"] == "sdpa" else []
    rank = asked["adapter_rank"]
    return [*words, *(["--lora-r", str(rank), "--lora-targets", "q,k,v,o"] if rank else ["--no-lora"])]


if __name__ == "__main__":
    serve(answer)
