"""The command ``bigmodel-lab``: what one needs in a terminal beside the notebook."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import bigmodel_lab as lab
from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.i18n import text

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 1 with the reason on standard error.

    Args:
        arguments: The words after ``bigmodel-lab``; None takes them from the command line.
    """
    chosen = _parser().parse_args(arguments)
    command: Command = chosen.command
    try:
        return command(chosen)
    except BigModelLabError as error:
        print(f"bigmodel-lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bigmodel-lab", description=text("cli.about", "Train PyTorch models and see what they do to the GPU.")
    )
    parser.add_argument("--version", action="version", version=f"bigmodel_lab {lab.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_machine(commands)
    _add_training(commands)
    _add_estimate(commands)
    _add_ctl(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help=text("cli.demo", "execute the quickstart notebook and leave its report"))
    demo.add_argument("--notebook", type=Path, default=Path("notebooks/01_quickstart.ipynb"))
    demo.add_argument("--output", type=Path, default=Path("demo_output"))
    demo.set_defaults(command=_demo)


def _add_machine(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    gpus = commands.add_parser("gpus", help=text("cli.gpus", "who is on the cards of this machine"))
    gpus.add_argument("--json", action="store_true", help=text("cli.json", "print JSON"))
    gpus.set_defaults(command=_gpus)
    doctor = commands.add_parser("doctor", help=text("cli.doctor", "what works here, and one command for each gap"))
    doctor.add_argument("--json", action="store_true", help=text("cli.json", "print JSON"))
    doctor.set_defaults(command=_doctor)


def _add_training(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser("models", help=text("cli.models", "the documented models, and the best result here"))
    models.add_argument("--folder", type=Path, help=text("cli.models.folder", "folder of the runs to look through"))
    models.add_argument(
        "--large", action="store_true", help=text("cli.models.large", "the large models whose memory can be estimated")
    )
    models.set_defaults(command=_models)
    data = commands.add_parser("data", help=text("cli.data", "report on a data set: balance, leaks, bad lines"))
    data.add_argument("data", help=text("cli.data.name", "data set by name, or a file or folder of your own"))
    data.set_defaults(command=_data)
    run = commands.add_parser("run", help=text("cli.run", "train a documented model in this terminal"))
    run.add_argument("model")
    run.add_argument("--data", help=text("cli.run.data", "data set by name, or a file or folder of your own"))
    run.add_argument("--epochs", type=int)
    run.add_argument("--micro-batch-size", type=int)
    run.add_argument("--learning-rate", type=float)
    run.add_argument("--device", default="auto")
    run.add_argument("--seed", type=int, default=0)
    run.set_defaults(command=_run)
    runs = commands.add_parser("runs", help=text("cli.runs", "runs recorded on this machine"))
    runs.add_argument("--folder", type=Path)
    runs.add_argument(
        "--live", action="store_true", help=text("cli.runs.live", "only those that are running now, in any folder")
    )
    runs.set_defaults(command=_runs)


def _add_estimate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = text("cli.estimate", "the peak GPU memory of a training step, predicted without a GPU")
    estimate = commands.add_parser("estimate", help=about, description=about)
    estimate.add_argument(
        "model",
        help=text("cli.estimate.model", "a name of `models` or `models --large`, or a Hub id: its configuration"),
    )
    estimate.add_argument(
        "--micro-batch-size", type=int, help=text("cli.estimate.samples", "samples of one forward pass")
    )
    estimate.add_argument("--precision", choices=["fp32", "tf32", "bf16", "fp16"])
    estimate.add_argument("--gpu", help=text("cli.estimate.gpu", "a card's name, e.g. T4, or a size, e.g. 24GiB"))
    estimate.add_argument(
        "--checkpointing",
        action="store_true",
        help=text("cli.estimate.checkpointing", "recompute activations of blocks"),
    )
    estimate.add_argument("--optimizer", help=text("cli.estimate.optimizer", "a name in torch.optim, e.g. adamw"))
    estimate.add_argument("--json", action="store_true", help=text("cli.json", "print JSON"))
    estimate.set_defaults(command=_estimate)


def _add_ctl(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = text("cli.ctl", "pause, resume, stop or checkpoint a run from any terminal, apply or undo a tip")
    ctl = commands.add_parser("ctl", help=about, description=about)
    ctl.add_argument("action", choices=["pause", "resume", "stop", "checkpoint", "apply", "undo"])
    ctl.add_argument("run", nargs="?", help=text("cli.ctl.run", "run id or file; may be left out when one run is live"))
    ctl.add_argument("--tip", help=text("cli.ctl.tip", "name or number of the tip to apply or undo"))
    ctl.set_defaults(command=_ctl)
    advise = commands.add_parser(
        "advise", help=text("cli.advise", "what would help a recorded run, or a model on a card")
    )
    advise.add_argument("subject", help=text("cli.advise.subject", "a run file, or a model as for `estimate`"))
    advise.add_argument("--gpu", help=text("cli.estimate.gpu", "a card's name, e.g. T4, or a size, e.g. 24GiB"))
    advise.add_argument(
        "--micro-batch-size", type=int, help=text("cli.estimate.samples", "samples of one forward pass")
    )
    advise.add_argument(
        "--details", action="store_true", help=text("cli.advise.details", "why, costs, and code to copy")
    )
    advise.add_argument("--json", action="store_true", help=text("cli.json", "print JSON"))
    advise.set_defaults(command=_advise)


def _demo(chosen: argparse.Namespace) -> int:
    from bigmodel_lab._demo import run_demo

    print(run_demo(chosen.notebook, chosen.output).render())
    return 0


def _gpus(chosen: argparse.Namespace) -> int:
    table = lab.gpus()
    print(json.dumps(table.as_json(), indent=2) if chosen.json else table.render())
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    report = lab.doctor()
    print(json.dumps(report.as_json(), indent=2) if chosen.json else report.render())
    return 0


def _models(chosen: argparse.Namespace) -> int:
    print(lab.list_subjects() if chosen.large else lab.list_models(chosen.folder))
    return 0


def _data(chosen: argparse.Namespace) -> int:
    print(lab.data_report(chosen.data))
    return 0


def _run(chosen: argparse.Namespace) -> int:
    given = {name: getattr(chosen, name) for name in ("epochs", "micro_batch_size", "learning_rate")}
    settings = {name: value for name, value in given.items() if value is not None}
    run = lab.fit(chosen.model, chosen.data, device=chosen.device, seed=chosen.seed, **settings)
    print(run.summary())
    return 0


def _estimate(chosen: argparse.Namespace) -> int:
    settings = {name: getattr(chosen, name) for name in ("micro_batch_size", "precision", "gpu", "optimizer")}
    estimate = lab.estimate_memory(chosen.model, checkpointing=chosen.checkpointing or None, **settings)
    if chosen.json:
        print(json.dumps(estimate.as_json(), indent=2))
    else:
        print(estimate, estimate.fits_on(), sep="\n\n")
    return 0


def _runs(chosen: argparse.Namespace) -> int:
    from bigmodel_lab.api._control import live_table

    print(live_table() if chosen.live else lab.runs(chosen.folder))
    return 0


def _ctl(chosen: argparse.Namespace) -> int:
    from bigmodel_lab.api._control import control

    print(control(chosen.action, chosen.run, chosen.tip))
    return 0


def _advise(chosen: argparse.Namespace) -> int:
    if Path(chosen.subject).is_file():
        advice = lab.advise(lab.open_run(chosen.subject))
    else:
        settings = {"gpu": chosen.gpu, "micro_batch_size": chosen.micro_batch_size}
        advice = lab.advise(lab.estimate_memory(chosen.subject, **settings))
    if chosen.json:
        print(json.dumps(advice.as_json(), indent=2))
    else:
        print(advice.details() if chosen.details else advice)
    return 0
