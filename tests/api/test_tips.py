"""Tips of a run: shown, applied between two steps, measured, kept or undone; and a step that waits for one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.api._tips import TipDesk
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog import ProposalRecord, RunLog, Status
from bigmodel_lab.tips.base import OtherCard
from bigmodel_lab.training import Trainer
from tests.training.changed_runs import same_bits
from tests.training.small_card import small_gpu, trainer_on

PATIENCE = 30.0


def wait_for(condition: Callable[[], object]) -> None:
    """Until it holds; fails when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def found(log: RunLog, tip: str) -> ProposalRecord | None:
    """The latest proposal of a tip that was not withdrawn."""
    return next((p for p in reversed(log.proposals()) if p.tip == tip and p.state != "withdrawn"), None)


class Desk:
    """A run on a small simulated card in a thread of its own, and the desk where its tips lie."""

    def __init__(self, free_mib: int, *, in_notebook: bool = True, auto: bool = False, **settings: object) -> None:
        self.log = RunLog.create("a test")
        self.gpu = small_gpu(free_mib)
        with self.gpu:
            self.trainer: Trainer = trainer_on(self.gpu, self.log, settings.pop("model", None), **settings)  # type: ignore[arg-type]
        self.desk = TipDesk(
            self.trainer,
            card=lambda: self.gpu.card,
            simulated=True,
            others_bytes=lambda: self.gpu.others_bytes,
            other_cards=tuple[OtherCard, ...],
            documented=None,
            auto=auto,
        )
        self.desk.attach(self.log, in_notebook=in_notebook, background=True)
        self.trainer.recover_by(self.desk)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self.gpu:
                self.trainer.run()
        except torch.OutOfMemoryError as error:
            self.error = error

    def start(self) -> None:
        """Begin to train."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@contextmanager
def desk(free_mib: int, **settings: object) -> Iterator[Desk]:
    """A running desk; stopped at the end."""
    made = Desk(free_mib, **settings)  # type: ignore[arg-type]
    made.start()
    try:
        yield made
    finally:
        made.log.mailbox.post("stop", "a test")
        made.join()
        made.log.close(Status.STOPPED)


@contextmanager
def asked(free_mib: int = 900, **settings: object) -> Iterator[Desk]:
    """A desk that was asked for advice after some steps, and is paused."""
    with desk(free_mib, **{"epochs": 500, "micro_batch_size": 32, **settings}) as running:
        wait_for(lambda: running.log.step >= 3)
        running.log.mailbox.post("pause", "a test")
        running.log.mailbox.post("advise", "a test")
        wait_for(running.log.proposals)
        yield running


def test_a_run_on_a_card_is_offered_its_number_format() -> None:
    """An Ampere card gets bf16, with a predicted peak."""
    with asked() as running:
        card = found(running.log, "bf16")

    assert card is not None
    assert card.state == "proposed"
    assert any("peak memory" in line for line in card.data["predicted"])


def test_what_is_simulated_says_so() -> None:
    """Every card of a run on a simulated card."""
    with asked() as running:
        shown = running.log.proposals()

    assert all(one.data["simulated"] for one in shown)


def test_applied_it_is_measured_and_kept() -> None:
    """The peak fell: the run goes on in bf16."""
    with asked() as running:
        running.log.mailbox.post("apply", "a test", id="bf16")
        wait_for(lambda: found(running.log, "bf16").state == "kept")
        card = found(running.log, "bf16")

        assert running.trainer.config.precision == "bf16"
        assert any("peak memory" in line for line in card.data["measured"])
        assert card.data["can_undo"]


def test_the_loss_is_compared_with_a_control_band() -> None:
    """Of a tip that changes the arithmetic."""
    with asked() as running:
        running.log.mailbox.post("apply", "a test", id="bf16")
        wait_for(lambda: found(running.log, "bf16").state == "kept")

        assert any("control band" in line for line in found(running.log, "bf16").data["measured"])


def test_undone_the_settings_are_as_before() -> None:
    """And the tip is not offered again by itself."""
    with asked() as running:
        before = running.trainer.config
        running.log.mailbox.post("apply", "a test", id="bf16")
        wait_for(lambda: found(running.log, "bf16").state == "kept")
        running.log.mailbox.post("undo", "a test", id="bf16")
        wait_for(lambda: found(running.log, "bf16").state == "undone")
        running.log.mailbox.post("advise", "a test")
        running.log.mailbox.post("resume", "a test")
        wait_for(lambda: running.log.status() is Status.RUNNING)

        assert running.trainer.config == before
        assert [p.state for p in running.log.proposals() if p.tip == "bf16"] == ["undone"]


def test_a_measurement_leaves_no_trace_in_the_weights() -> None:
    """A run with a tip that was measured and undone ends like one without, to the bit."""
    plain = Desk(900, max_steps=9, micro_batch_size=32)
    plain.start()
    plain.join()
    plain.log.close(Status.FINISHED)
    changed = Desk(900, max_steps=9, micro_batch_size=32)
    steps = changed.log.stream("step", axis="step", keys=("loss",))
    append = steps.append

    def meddle(step: int, ns: int, values: tuple[float, ...]) -> None:
        append(step, ns, values)
        if step == 2:
            changed.log.mailbox.post("advise", "a test")
            changed.log.mailbox.post("apply", "a test", id="activation_offload")
            changed.log.mailbox.post("apply", "a test", id="bf16")
            changed.log.mailbox.post("undo", "a test", id="bf16")

    changed.trainer._recorder._append_step = meddle
    changed.start()
    changed.join()
    changed.log.close(Status.FINISHED)

    assert found(changed.log, "bf16").state == "undone"
    assert same_bits(plain.trainer, changed.trainer)


def test_a_tip_that_is_none_is_refused_in_the_record() -> None:
    """The run goes on."""
    with asked() as running:
        running.log.mailbox.post("apply", "a test", id="faster_please")
        wait_for(lambda: any(event.kind == "refused" for event in running.log.events()))


def test_a_full_step_waits_and_shows_what_helps() -> None:
    """The micro-batch that fits comes first."""
    with desk(60) as running:
        wait_for(lambda: running.log.status() is Status.PAUSED)
        full = [event for event in running.log.events() if event.kind == "out_of_memory"]

        assert full[0].data["waits"] is True
        assert running.log.proposals()[0].tip == "micro_batch_down"


def test_applied_the_same_run_finishes() -> None:
    """With the effective batch unchanged."""
    with desk(60) as running:
        wait_for(lambda: running.log.status() is Status.PAUSED)
        running.log.mailbox.post("apply", "a test", id="micro_batch_down")
        running.join()

        assert running.error is None
        assert running.trainer.steps_made == running.trainer.total_steps
        assert running.trainer.config.effective_batch_size == 128


def test_stopped_the_original_error_is_raised() -> None:
    """In CUDA's words."""
    with desk(60) as running:
        wait_for(lambda: running.log.status() is Status.PAUSED)
        running.log.mailbox.post("stop", "a test")
        running.join()

    assert "Tried to allocate" in str(running.error)


def test_resumed_without_a_change_it_asks_again() -> None:
    """The step is made again, and runs out again."""
    with desk(60) as running:
        wait_for(lambda: running.log.status() is Status.PAUSED)
        running.log.mailbox.post("resume", "a test")
        wait_for(lambda: len([e for e in running.log.events() if e.kind == "out_of_memory"]) == 2)


def test_headless_it_is_raised_at_once() -> None:
    """Nobody could answer."""
    with desk(60, in_notebook=False, on_oom="ask") as running:
        running.join()

    assert isinstance(running.error, torch.OutOfMemoryError)


def test_raised_it_still_says_what_would_have_helped() -> None:
    """The advice lies in the record."""
    with desk(60, on_oom="raise") as running:
        running.join()

        assert found(running.log, "micro_batch_down") is not None


def test_auto_applies_what_is_safe_and_says_so() -> None:
    """A model without statistics and random numbers: accumulation is taken back by itself."""
    with desk(900, auto=True, epochs=500, micro_batch_size=16, gradient_accumulation_steps=8, model=Plain()) as running:
        wait_for(lambda: running.log.step >= 3)
        running.log.mailbox.post("advise", "a test")
        wait_for(lambda: any(event.kind == "auto_applied" for event in running.log.events()))
        applied = next(event for event in running.log.events() if event.kind == "auto_applied")

    assert applied.data["tip"] == "micro_batch_up"


class Plain(torch.nn.Module):
    """Nothing in it depends on who else is in the micro-batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU())
        self.head = torch.nn.Linear(8 * 28 * 28, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        scores: torch.Tensor = self.head(self.body(x).flatten(1))
        return scores


def test_advise_takes_a_run_in_the_background() -> None:
    """It is asked between two steps."""
    run = lab.fit("mlp", epochs=500, device="virtual:2GiB", background=True)
    advice = lab.advise(run)
    run.stop()
    run.wait()

    assert "bf16" in [proposal.tip for proposal in advice]


def test_advise_takes_a_recorded_run() -> None:
    """By its settings and its card."""
    run = lab.fit("mlp", max_steps=8, device="virtual:2GiB")
    advice = lab.advise(lab.open_run(run.path))

    assert advice["bf16"].change == {"precision": "bf16"}


def test_advise_says_what_it_takes() -> None:
    """And what came."""
    with pytest.raises(ConfigError, match="not int"):
        lab.advise(3)


class Failing(torch.nn.Module):
    """Waits in its second step, then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
        self.waits, self.fails = threading.Event(), threading.Event()
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (samples, 4) to (samples, 2)."""
        self.passes += 1
        if self.passes == 2:
            self.waits.set()
            self.fails.wait(PATIENCE)
            raise ZeroDivisionError
        out: torch.Tensor = self.layer(x)
        return out


@pytest.fixture
def failing() -> Iterator[lab.TrainingRun]:
    """A run that fails half a second after it was first asked."""
    model = Failing()
    run = lab.fit(model, (torch.randn(64, 4), torch.arange(64) % 2), micro_batch_size=8, device="cpu", background=True)
    assert model.waits.wait(PATIENCE)
    threading.Timer(0.5, model.fails.set).start()
    yield run
    with pytest.raises(ZeroDivisionError):
        run.wait(PATIENCE)


@pytest.mark.timeout(60)
def test_a_run_that_fails_meanwhile_still_gives_its_tips(failing: lab.TrainingRun) -> None:
    """Nobody waits for a loop that is no more."""
    assert isinstance(failing.tips(), tuple)


@pytest.mark.timeout(60)
def test_a_run_that_fails_meanwhile_says_so(failing: lab.TrainingRun) -> None:
    """To who wanted to change it."""
    with pytest.raises(ConfigError, match="This run is failed"):
        failing.apply("bf16")
