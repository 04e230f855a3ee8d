from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from infer.lib.errors import NoDevice
from infer.lib.models.spec import standard_config
from infer.stages.train import graphs
from infer.stages.train.graphs import GraphedStep, graphs_wanted
from infer.stages.train.optimizers import adamw, stored_state
from infer.stages.train.options import TrainOptions
from infer.stages.train.run import run
from tests.stages.train.tiny import Recorder, make_options

GIB = 1 << 30


@pytest.mark.parametrize(
    ("choice", "gib", "processes", "checkpointing", "wanted"),
    [
        ("auto", 24, 1, False, True),
        ("auto", 8, 1, False, False),
        ("yes", 8, 1, False, True),
        ("no", 80, 1, False, False),
        ("yes", 80, 2, False, False),
        ("yes", 80, 1, True, False),
    ],
)
def test_steps_are_recorded_on_one_roomy_gpu(monkeypatch, choice, gib, processes, checkpointing, wanted):
    properties = SimpleNamespace(total_memory=gib * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    options = TrainOptions(Path("x"), cuda_graphs=choice, gradient_checkpointing=checkpointing)
    assert graphs_wanted(options, torch.device("cuda:0"), processes) is wanted
    assert graphs_wanted(options, torch.device("cpu"), 1) is False


def test_a_gpu_that_cannot_record_gets_a_sentence_with_the_way_out(monkeypatch):
    def refuse(*arguments):
        raise RuntimeError("operation not permitted when stream is capturing\nlong story")

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(graphs, "_Recording", refuse)
    step = GraphedStep(lambda *given, **options: "plain", mel=None)
    batch = SimpleNamespace(fitted=lambda mel: batch, tensors=lambda: [torch.zeros(2)])
    draws = SimpleNamespace()
    assert [step(batch, draws) for _ in range(graphs.WARM_STEPS)] == ["plain"] * graphs.WARM_STEPS
    assert step(batch, draws, measure_norms=True) == "plain"
    with pytest.raises(NoDevice, match="--cuda-graphs=no"):
        step(batch, draws)


def test_a_recorded_optimizer_is_stored_as_plain_numbers():
    net = nn.Linear(2, 1)
    optimizer = adamw(net, standard_config("v2", 40000).train)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.param_groups[0].update(lr=torch.tensor(1e-4), capturable=True)
    (group,) = stored_state(optimizer)["param_groups"]
    assert type(group["lr"]) is float and group["lr"] == pytest.approx(1e-4)
    assert group["capturable"] is False
    again = torch.optim.AdamW(net.parameters())
    again.load_state_dict(stored_state(optimizer))
    again.step()


def test_running_out_of_memory_says_what_to_lower(experiment):
    def exhausted(training):
        def step(batch, draws, **how):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return step

    with pytest.raises(NoDevice, match="smaller --batch-size than 2"):
        run(make_options(experiment), Recorder(), exhausted)
