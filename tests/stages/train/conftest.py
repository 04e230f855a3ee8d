from contextlib import contextmanager

import pytest
import torch

from infer.stages.train import state
from infer.stages.train.run import run
from tests.stages.train.tiny import Recorder, TinyDiscriminator, make_experiment, make_options


@pytest.fixture(autouse=True)
def one_thread():
    with single_thread():
        yield


@contextmanager
def single_thread():
    """Sums come out the same to the last bit only with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_nets(monkeypatch):
    monkeypatch.setattr(state, "MultiPeriodDiscriminator", TinyDiscriminator)


@pytest.fixture
def experiment(tmp_path, tiny_nets):
    return make_experiment(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Losses of each epoch, and the voice, of a run of three epochs that nothing interrupted."""
    experiment, recorder = make_experiment(tmp_path_factory.mktemp("undisturbed")), Recorder()
    with single_thread(), pytest.MonkeyPatch.context() as patch:  # made before one_thread
        patch.setattr(state, "MultiPeriodDiscriminator", TinyDiscriminator)
        summary = run(make_options(experiment, total_epoch=3, save_every_epoch=3), recorder)
    return recorder.epoch_losses, summary["voice"]
