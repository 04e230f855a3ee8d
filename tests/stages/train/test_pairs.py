import pytest
import torch

from infer.jobs.experiment import LATEST_STEP, Experiment
from infer.lib.checkpoint import TrainingCheckpoint
from infer.lib.errors import BadCheckpoint
from infer.stages.train.pairs import Pair, newest_pair, recover, write_pair


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path)


def _pair(number: int, epoch: int, discriminator_epoch: int | None = None) -> Pair:
    def net(name, iteration):
        return TrainingCheckpoint({name: torch.ones(2, 2)}, iteration, extra={"step": 10 * iteration})

    other = epoch if discriminator_epoch is None else discriminator_epoch
    generator = net("enc_p.emb_phone.weight", epoch)
    return Pair(number, generator, net("discriminators.0.convs.0.weight_v", other))


def _newest(experiment) -> tuple[int, int]:
    pair, _ = newest_pair(experiment)
    return pair.number, pair.generator.iteration


def test_nothing_is_nothing(experiment):
    assert newest_pair(experiment) == (None, [])


def test_the_highest_number_wins_over_order_of_names(experiment):
    for number, epoch in ((900, 9), (1000, 10)):
        write_pair(experiment, _pair(number, epoch))
    assert _newest(experiment) == (1000, 10)
    assert sorted(path.name for path in experiment.root.iterdir()) == [
        "D_1000.pth", "D_900.pth", "G_1000.pth", "G_900.pth",
    ]  # fmt: skip


@pytest.mark.parametrize(("latest_epoch", "wanted"), [(3, (50, 5)), (8, (LATEST_STEP, 8))])
def test_the_fixed_number_is_judged_by_its_epoch(experiment, latest_epoch, wanted):
    write_pair(experiment, _pair(LATEST_STEP, latest_epoch))
    write_pair(experiment, _pair(50, 5))
    assert _newest(experiment) == wanted


def test_a_pair_of_two_moments_is_passed_over(experiment):
    write_pair(experiment, _pair(10, 1))
    write_pair(experiment, _pair(20, 2, discriminator_epoch=1))
    pair, complaints = newest_pair(experiment)
    assert pair.number == 10
    assert "not of the same moment" in complaints[0]


def test_a_damaged_file_is_passed_over(experiment):
    write_pair(experiment, _pair(10, 1))
    write_pair(experiment, _pair(20, 2))
    path = experiment.discriminator_checkpoint(20)
    path.write_bytes(path.read_bytes()[:200])
    assert _newest(experiment) == (10, 1)


def test_unusable_checkpoints_are_not_buried(experiment):
    write_pair(experiment, _pair(10, 1))
    experiment.discriminator_checkpoint(10).unlink()
    with pytest.raises(BadCheckpoint, match="D_"):
        newest_pair(experiment)


def test_a_save_cut_between_the_two_renames_is_completed(experiment):
    write_pair(experiment, _pair(LATEST_STEP, 1))
    old = experiment.discriminator_checkpoint(LATEST_STEP)
    before = old.read_bytes()
    write_pair(experiment, _pair(LATEST_STEP, 2))
    old.rename(experiment.root / f".D_{LATEST_STEP}.pth.new")  # G is new, D still staged
    old.write_bytes(before)
    recover(experiment)
    assert _newest(experiment) == (LATEST_STEP, 2)


def test_a_save_cut_while_writing_is_discarded(experiment):
    write_pair(experiment, _pair(LATEST_STEP, 1))
    for name in (f".G_{LATEST_STEP}.pth.new", f".D_{LATEST_STEP}.pth.new", ".part-abc.new"):
        (experiment.root / name).write_bytes(b"half")
    recover(experiment)
    assert _newest(experiment) == (LATEST_STEP, 1)
    assert not list(experiment.root.glob(".*"))
