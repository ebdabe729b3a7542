"""The bench of a sweep on a tiny model: it measures the sweep's own code, and the same tokens."""

from __future__ import annotations

import pytest
from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.jobs.bench_sweep import bench_sweep
from gelu_tui.engine.models.loading import LoadedModel
from tests.support import in_process, tiny_models
from tests.support.batching import Jobs

COMMAND = p.BenchSweep(
    ("Why is the sky blue?", "the", "the sky\n\tis é"), functions=2, tokens=3, rounds=2, rows=4
)
WAYS = ["sweep", "sweep with replays", "mlx-lm, one after another", "mlx-lm, batch_generate"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return in_process.load(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text"))


@pytest.fixture(scope="module")
def measured(loaded: LoadedModel) -> tuple[p.BenchSweepReport, list[p.Event]]:
    events: list[p.Event] = []

    def emit(event: p.Event) -> None:
        events.append(p.decode_event(p.encode(event)))

    return bench_sweep(loaded, COMMAND, emit, lambda: False), events


def test_what_was_measured(measured: tuple[p.BenchSweepReport, list[p.Event]]) -> None:
    report, events = measured
    assert [way.name for way in report.ways] == WAYS
    assert [(way.rows, way.measured) for way in report.ways] == [(4, 6), (4, 6), (1, 3), (4, 6)]
    assert [way.extrapolated for way in report.ways] == [False, False, True, False]
    assert all(len(way.seconds) == 2 and min(way.seconds) > 0 for way in report.ways)
    assert (report.prompts, report.prompts_at_once, report.tokens) == (3, 2, 3)
    assert [check.rows for check in report.self_checks] == [4]
    for way in report.ways[:2]:
        phases = way.phases
        assert min(phases["prefill"], phases["decode"], phases["statistics"]) > 0
    labels = [event.label for event in events if isinstance(event, p.Progress)]
    assert labels == 3 * WAYS


def test_the_runs_are_those_of_a_sweep(
    loaded: LoadedModel, measured: tuple[p.BenchSweepReport, list[p.Event]]
) -> None:
    """With the tokens of a batch that is no bench; no stream of these ends early."""
    report, events = measured
    settings = RunSettings(activations=report.functions, max_tokens=3, chat=False, replay=False)
    alone = Jobs(p.Compare(prompt, settings, rows=4) for prompt in COMMAND.prompts).run(loaded)
    runs = [event for event in events if isinstance(event, p.BenchedRun)]
    assert len(runs) == 3
    total = 0
    for number, run in enumerate(runs):
        inner = [p.decode_event(bytes(line)) for line in run.events]
        started = inner[0]
        assert isinstance(started, p.Started)
        assert isinstance(inner[-1], p.Finished)
        total += len(started.prompt_tokens)
        steps = [event for event in inner if isinstance(event, p.Step)]
        found = [[stream.token for stream in step.streams] for step in steps]
        streams = [stream.tokens for stream in alone.comparison(number).streams]
        assert all(map(len, found)) and [list(column) for column in zip(*found, strict=True)] == (
            streams
        )
    assert report.prompt_tokens == total


def test_the_model_is_left_as_it_was(
    loaded: LoadedModel, measured: tuple[p.BenchSweepReport, list[p.Event]]
) -> None:
    kinds = {type(module).__module__.partition(".")[0] for module in loaded.model.modules()}
    assert kinds <= {"mlx", "mlx_lm"}


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"prompts": ()}, "usage"),
        ({"functions": 0}, "usage"),
        ({"tokens": 1}, "usage"),
        ({"tokens": 100_000}, "prompt_too_long"),
    ],
)
def test_what_cannot_be_measured(loaded: LoadedModel, parts: dict[str, int], kind: str) -> None:
    with pytest.raises(GeluError) as error:
        bench_sweep(loaded, structs.replace(COMMAND, **parts), lambda _: None, lambda: False)
    assert error.value.info.kind == kind


def test_a_cancel_in_the_middle(loaded: LoadedModel) -> None:
    began: list[p.Event] = []
    with pytest.raises(Interrupted):
        bench_sweep(loaded, COMMAND, began.append, lambda: len(began) == 1)
    assert len(began) == 1
