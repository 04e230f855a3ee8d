"""The form as a value: kept with its experiment, restored, checked, and made into the commands' options."""

import json
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from infer.jobs.experiment import Experiment
from infer.lib.errors import RvcError
from infer.lib.models.spec import standard_config
from infer.stages.chain_options import TrainAllOptions
from infer.web.train_facts import ExperimentFacts, facts_of, held_out, restored_form, saved_voices
from infer.web.train_form import (
    TrainForm,
    experiment_names,
    experiment_of,
    is_standard_base,
    load_form,
    options_of,
    save_form,
)
from infer.web.train_steps import (
    ALL,
    CONTENT,
    EXTRACTION,
    INDEX,
    PITCH,
    PREPROCESS,
    TRAIN,
    Order,
    TooLittle,
    check,
    pretrained,
    steps_of,
    title_of,
)
from tests.stages.train.tiny import make_experiment, tiny_config
from tests.web.pages import AUDIO, SPEECH, demo_voices, make_home

ODD_NAME = "내 목소리 'é' 🙂 -x"


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path)


@pytest.fixture
def sliced(home):
    """An experiment with clips, at 40k."""
    return make_experiment(home.logs)


def other_values() -> dict:
    """For each control a value that is not its default."""
    texts = {"sample_rate": "48k", "version": "v1", "f0_method": "pm", "precision": "fp32"}
    texts |= {"cuda_graphs": "no", "encoder": "starter"}
    plain = {field.name: field.default for field in fields(TrainForm) if field.name not in texts}
    changed = {
        name: (not value if isinstance(value, bool) else value + 1)
        for name, value in plain.items()
        if isinstance(value, bool | int | float)
    }
    return texts | changed


# the value ----------------------------------------------------------------------------------------


def test_a_form_comes_back_as_it_was_saved(home):
    experiment = Experiment(home.logs / ODD_NAME)
    form = TrainForm(**other_values(), experiment=ODD_NAME, trainset='/a "b" c', pretrain_g="ü.pth")
    save_form(experiment, form)
    assert load_form(experiment) == replace(form, trainset='/a "b" c')


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"total_epoch"', "\x00"])
def test_a_damaged_form_is_none(home, text):
    experiment = Experiment(home.logs / "x")
    experiment.root.mkdir()
    experiment.form_file.write_text(text)
    assert load_form(experiment) is None


def test_unknown_and_unfit_values_become_the_default():
    values = {"nonsense": 1, "total_epoch": "many", "use_f0": "yes", "batch_size": 4.0, "trainset": None}
    form = TrainForm.of(values)
    assert form == replace(TrainForm(), batch_size=4)
    assert isinstance(form.batch_size, int)


def test_what_is_pasted_with_a_path_is_taken_off():
    assert TrainForm.of({"trainset": ' "/my recordings/é" \n'}).trainset == "/my recordings/é"


def test_every_control_reaches_the_commands(home):
    values = other_values()
    options = options_of(TrainForm(**values, experiment="x"), home, "cpu")
    for name in set(values) & {field.name for field in fields(TrainAllOptions)}:
        assert getattr(options, name) == values[name], name
    named = {"experiment", "trainset", "like", "continue_from", "config", "pretrain_g", "pretrain_d"}
    named |= {"gpus", "pitch_gpus", "train_gpus"}
    assert set(asdict(TrainForm())) == set(values) | named


def test_the_defaults_are_those_of_the_commands():
    form = TrainForm()
    for field in fields(TrainAllOptions):
        if hasattr(form, field.name) and not field.name.startswith(
            ("pretrain", "experiment", "trainset", "config")
        ):
            assert getattr(form, field.name) == field.default, field.name


def test_a_list_of_gpus_wins_over_the_device_unless_that_is_the_cpu(home):
    form = TrainForm(experiment="x")
    assert (options_of(form, home, "cuda:1", "0-1").device, options_of(form, home, "cuda:1", "0-1").gpus) == (
        "auto",
        "0-1",
    )
    assert options_of(form, home, "cpu", "0-1").gpu_list == ()
    assert options_of(form, home, "cuda:1").device == "cuda:1"
    with pytest.raises(ValueError, match="gpus"):
        options_of(form, home, "auto", "0,1")


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b", "mute", ".jobs", "con", "a" * 300])
def test_names_that_are_no_experiment_are_refused(home, name):
    with pytest.raises(RvcError):
        experiment_of(home, name)


def test_experiments_are_listed_without_what_is_none(home):
    for name in ("b", ODD_NAME, ".jobs", "mute"):
        (home.logs / name).mkdir()
    (home.logs / "file").write_text("")
    assert sorted(experiment_names(home)) == sorted(["b", ODD_NAME])


# what the folder tells ------------------------------------------------------------------------------


def test_an_experiment_of_rvc_tells_what_it_was_made_with(home):
    experiment = Experiment(home.logs / "from rvc")
    experiment.content("v1").mkdir(parents=True)
    experiment.content_file("0_0", "v1").touch()
    experiment.f0_coarse.mkdir()
    experiment.f0_coarse_file("0_0").touch()
    experiment.config_file.write_text(json.dumps({"data": {"sampling_rate": 48000}}))
    facts = facts_of(home, experiment)
    assert (facts.sample_rate, facts.version, facts.use_f0, facts.form) == ("48k", "v1", True, None)
    form = restored_form(facts, TrainForm(total_epoch=77))
    assert (form.experiment, form.sample_rate, form.version, form.total_epoch) == (
        "from rvc",
        "48k",
        "v1",
        77,
    )


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_damaged_files_are_told_and_tolerated(home, sliced, text):
    for path in (sliced.settings_file, sliced.config_file, sliced.report_file):
        path.write_text(text)
    facts = facts_of(home, sliced)
    assert (facts.exists, facts.clips, facts.report) == (True, 6, None)
    assert sliced.settings_file.name in facts.problem or text == "[1]"


def test_clips_outside_the_file_list_are_held_out(sliced):
    assert held_out(sliced) == []  # nothing was trained yet
    items = sliced.training_items("v2", True)
    sliced.write_filelist([item for item in items if item.stem != "0_3"])
    assert held_out(sliced) == ["0_3"]


def test_only_the_experiments_own_voices_are_offered(home):
    experiment = Experiment(home.logs / "a+b")
    for name in ("a+b", "a+b_e2_s20", "a+b_e10_s100", "aab_e1_s1", "a+b_e1_s1_x", "a+b2"):
        (home.weights / f"{name}.pth").touch()
    found = [path.stem for path in saved_voices(home, experiment)]
    assert found == ["a+b_e2_s20", "a+b_e10_s100", "a+b"]


# what is refused ------------------------------------------------------------------------------------


def facts(experiment: Experiment, **known) -> ExperimentFacts:
    return ExperimentFacts(experiment, exists=True, **known)


def test_another_sample_rate_is_refused_for_every_step(sliced):
    known = facts(sliced, sample_rate="40k", clips=6)
    for names in ((PREPROCESS,), EXTRACTION, (TRAIN,), ALL):
        with pytest.raises(RvcError, match="40k.*48k"):
            check(Order(TrainForm(sample_rate="48k"), names), known)


@pytest.mark.parametrize(("change", "word"), [({"version": "v1"}, "v2"), ({"use_f0": False}, "pitch")])
def test_a_trained_voice_keeps_version_and_pitch_guidance(sliced, change, word):
    order = Order(replace(TrainForm(), **change), (TRAIN,))
    known = {"version": "v2", "use_f0": True, "clips": 6}
    check(order, facts(sliced, **known))  # nothing was trained: it may still change
    with pytest.raises(RvcError, match=word):
        check(order, facts(sliced, checkpoints=1, **known))


@pytest.mark.parametrize(
    ("trainset", "word"),
    [("", "no recordings"), ("/no/such folder", "does not exist"), ("EMPTY", "holds no")],
)
def test_recordings_must_be_there(home, sliced, trainset, word):
    empty = home.root / "empty"
    empty.mkdir()
    order = Order(TrainForm(trainset=str(empty) if trainset == "EMPTY" else trainset), ALL)
    with pytest.raises(RvcError, match=word):
        check(order, facts(sliced))


def test_steps_after_slicing_need_clips(sliced):
    for names in (EXTRACTION, (PITCH,), (INDEX,), (TRAIN,)):
        with pytest.raises(RvcError, match="process its recordings"):
            check(Order(TrainForm(), names), facts(sliced, clips=0))


def test_less_than_a_minute_is_trained_on_only_when_confirmed(sliced):
    known = facts(sliced, clips=6, report={"usable_minutes": 0.5})
    with pytest.raises(TooLittle, match="30 seconds"):
        check(Order(TrainForm(), (TRAIN,)), known)
    check(Order(TrainForm(), (TRAIN,), confirmed=True), known)
    check(Order(TrainForm(), (TRAIN,)), replace(known, report={"usable_minutes": 1.0}))
    check(Order(TrainForm(), EXTRACTION), known)  # costs little


def test_one_click_measures_what_is_not_sliced_yet(sliced):
    order = Order(TrainForm(trainset=str(AUDIO / "target")), ALL)
    with pytest.raises(TooLittle):
        check(order, facts(sliced))


def test_a_recording_that_cannot_be_read_adds_nothing_to_the_minute(sliced, tmp_path):
    shutil.copy(SPEECH, tmp_path)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(TooLittle):
        check(Order(TrainForm(trainset=str(tmp_path)), ALL), facts(sliced))


@pytest.mark.parametrize("name", ["pretrain_g", "pretrain_d", "config"])
def test_a_missing_file_is_named(home, name):
    with pytest.raises(RvcError, match="no such.pth"):
        options_of(replace(TrainForm(), **{name: "no such.pth"}), home, "cpu")


# steps ----------------------------------------------------------------------------------------------


def test_the_steps_of_a_button_in_their_order(home, sliced):
    form = TrainForm(experiment=sliced.name, encoder="starter", f0_method="pm", trainset=str(AUDIO))
    known = facts(sliced, clips=6)
    for names in (ALL, EXTRACTION, (INDEX,)):
        steps = steps_of(Order(form, names, confirmed=True), home, "cpu", known)
        assert tuple(step.name for step in steps) == tuple(name for name in ALL if name in names)
    speech = replace(form, use_f0=False)
    assert [step.name for step in steps_of(Order(speech, EXTRACTION), home, "cpu", known)] == [CONTENT]
    assert title_of(sliced, ALL) == f"{sliced.name}: train_all"


def test_each_kind_of_work_has_its_own_gpus(home, sliced):
    form = TrainForm(sliced.name, encoder="starter", f0_method="fcpe", gpus="0-1", pitch_gpus="0-0-1")
    order = Order(replace(form, train_gpus="1"), (*EXTRACTION, TRAIN), confirmed=True)
    steps = {step.name: step.commands for step in steps_of(order, home, "auto", facts(sliced, clips=6))}
    shards = [(command.options.device, command.options.shard) for command in steps[PITCH]]
    assert shards == [("cuda:0", "0/3"), ("cuda:0", "1/3"), ("cuda:1", "2/3")]
    assert [command.options.device for command in steps[CONTENT]] == ["cuda:0", "cuda:1"]
    assert steps[TRAIN][0].options.gpus == "1"


def test_reused_experiments_are_named_by_their_folder(home, sliced):
    form = TrainForm("new", like=sliced.name, continue_from=sliced.name)
    options = options_of(form, home, "cpu")
    assert (options.like, options.continue_from) == (str(sliced.root), str(sliced.root))
    gone = options_of(replace(form, like="gone"), home, "cpu")
    assert gone.like == ""


# pretrained bases -------------------------------------------------------------------------------------


@pytest.fixture
def with_bases(tmp_path):
    """A home whose assets hold HuBERT and some of RVC's bases (empty files)."""
    home = replace(make_home(tmp_path), assets=tmp_path / "assets")
    for place in ("hubert/hubert_base.pt", "pretrained_v2/f0G40k.pth", "pretrained_v2/f0D40k.pth"):
        path = home.assets / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (home.assets / "pretrained_v2/G48k.pth").touch()
    return home


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, ("assets/pretrained_v2/f0G40k.pth", "assets/pretrained_v2/f0D40k.pth")),
        ({"sample_rate": "48k", "use_f0": False}, ("assets/pretrained_v2/G48k.pth", "")),
        ({"version": "v1"}, ("", "")),
        ({"encoder": "/no/such/encoder"}, ("", "")),
    ],
)
def test_bases_follow_the_choices_and_are_blank_when_missing(with_bases, choices, expected):
    assert pretrained(replace(TrainForm(), **choices), with_bases) == expected


def test_without_hubert_no_base_fits(with_bases):
    (with_bases.assets / "hubert/hubert_base.pt").unlink()
    assert pretrained(TrainForm(), with_bases) == ("", "")


def test_without_hubert_the_starter_base_is_the_default(with_bases):
    (with_bases.assets / "hubert/hubert_base.pt").unlink()
    demo_voices(with_bases.assets)
    form = replace(TrainForm(), encoder="starter")
    assert pretrained(form, with_bases) == ("assets/starter/base_v2_40k_f0.safetensors", "")
    assert pretrained(replace(form, encoder=""), with_bases)[0].startswith("assets/starter/")
    assert pretrained(replace(form, sample_rate="48k"), with_bases) == ("", "")
    assert is_standard_base("assets/starter/base_v2_40k_f0.safetensors", with_bases)


def test_a_base_of_the_users_is_told_from_rvcs(with_bases):
    assert is_standard_base("", with_bases)
    assert is_standard_base("assets/pretrained_v2/f0G40k.pth", with_bases)
    assert not is_standard_base(str(Path("/mine/G.pth")), with_bases)


def test_with_sizes_of_ones_own_a_proposed_base_is_no_order(with_bases, tmp_path):
    config = tmp_path / "own.json"
    config.write_text(json.dumps(tiny_config()), encoding="utf-8")
    proposed = replace(TrainForm(), pretrain_g="assets/pretrained_v2/f0G40k.pth", config=str(config))
    assert options_of(proposed, with_bases, "cpu").pretrain_g == "auto"
    assert options_of(replace(proposed, pretrain_g=""), with_bases, "cpu").pretrain_g != "auto"
    assert options_of(replace(proposed, config=""), with_bases, "cpu").pretrain_g.endswith("f0G40k.pth")
    config.write_text(standard_config("v2", 40000).to_json(), encoding="utf-8")
    assert options_of(proposed, with_bases, "cpu").pretrain_g.endswith("f0G40k.pth")
    experiment = experiment_of(with_bases, proposed.experiment)  # trained before with a file of its own
    experiment.config_file.parent.mkdir(parents=True)
    experiment.config_file.write_text(json.dumps(tiny_config()), encoding="utf-8")
    assert options_of(replace(proposed, config=""), with_bases, "cpu").pretrain_g == "auto"
