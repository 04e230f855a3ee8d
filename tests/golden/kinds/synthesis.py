"""synth_*: the generator in inference. spectra_*: linear and mel spectrograms."""

import re
from collections.abc import Iterator

import numpy as np
import torch

from infer.lib.mel import MelSettings, linear_spectrogram, linear_to_mel, mel_basis
from infer.lib.models.spec import SAMPLE_RATES, ModelSpec, rate_label, standard_config
from infer.lib.models.synthesizer import Draws, Pitch, Synthesizer
from tests.golden.core import Case, Result
from tests.golden.synthetic_weights import draw

HEAD = re.compile(r"audio_head_(\d+)_(\d+)_(\d+)")


def model_spec(case: Case) -> ModelSpec:
    """The published network of the version, rate and style in the file name."""
    return standard_config(case.version, case.sample_rate).spec(case.version, case.use_f0)


def build(case: Case, spec: ModelSpec) -> Synthesizer:
    net = Synthesizer(spec, posterior=False).eval()
    net.load_state_dict(case.folder.weights(case.model("small")))
    return net


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array))


def check_synth(case: Case) -> Iterator[Result]:
    spec = model_spec(case)
    net, arrays = build(case, spec), case.inputs
    content, lengths, speaker = (tensor(arrays[name]) for name in ("phone", "lengths", "sid"))
    pitch = Pitch(tensor(arrays["pitch"]), tensor(arrays["pitchf"]).float()) if spec.use_f0 else None
    frames = content.shape[1]
    zeros = _draws(spec, content.shape[0], frames, noisy=False)

    seen = {}
    _listen(net, seen)
    audio = net.infer(content, lengths, pitch, speaker, zeros)
    yield from _compare_parts(case, seen)
    yield case.of_peak("audio", _shaped(audio, arrays["audio"]), arrays["audio"])
    if "audio_noise" in arrays:
        noisy = _draws(spec, content.shape[0], frames, noisy=True)
        audio = net.infer(content, lengths, pitch, speaker, noisy)
        yield case.of_peak("audio_noise", _shaped(audio, arrays["audio_noise"]), arrays["audio_noise"])
    for name, golden in arrays.items():
        if match := HEAD.fullmatch(name):
            skip, length, stretched = (int(number) for number in match.groups())
            draws = _draws(spec, content.shape[0], frames, noisy=False, source_frames=length)
            where = {"skip_head": skip, "return_length": length, "return_length2": stretched}
            audio = net.infer(content, lengths, pitch, speaker, draws, **where)
            yield case.of_peak(name, _shaped(audio, golden), golden)
    net.fuse_weight_norm()
    audio = net.infer(content, lengths, pitch, speaker, zeros)
    yield case.of_peak("audio with fused weights", _shaped(audio, arrays["audio"]), arrays["audio"])


def _draws(spec: ModelSpec, batch: int, frames: int, noisy: bool, source_frames: int | None = None) -> Draws:
    prior = (batch, spec.inter_channels, frames)
    source = (batch, (source_frames or frames) * spec.hop, 1)
    if not noisy:
        return Draws(prior=torch.zeros(prior), source=torch.zeros(source))
    return Draws(prior=tensor(draw("noise.0", prior)), source=tensor(draw("noise.1", source)))


def _listen(net: Synthesizer, seen: dict) -> None:
    """Keeps the first output of the parts that the golden data names."""

    def keep(name: str):
        def hook(module, inputs, output):
            # A copy: the source is added in place.
            seen.setdefault(name, output.clone() if isinstance(output, torch.Tensor) else output)

        return hook

    net.enc_p.register_forward_hook(keep("enc_p"))
    net.flow.register_forward_hook(keep("z"))
    net.dec.conv_pre.register_forward_hook(keep("conv_pre"))
    for number, up in enumerate(net.dec.ups):
        up.register_forward_hook(keep(f"up{number}"))
    if net.dec.m_source is not None:
        net.dec.m_source.register_forward_hook(keep("source"))


def _compare_parts(case: Case, seen: dict) -> Iterator[Result]:
    arrays = case.inputs
    for name, ours in zip(("m_p", "logs_p", "x_mask"), seen["enc_p"], strict=True):
        if name in arrays:
            yield case.of_peak(name, ours, arrays[name])
    if "z" in arrays:
        yield case.of_peak("z", seen["z"], arrays["z"])
    if "source" in arrays:
        yield case.of_peak("source", seen["source"].reshape(arrays["source"].shape), arrays["source"])
    parts = {"dec_conv_pre_part": "conv_pre", **{f"dec_up{i}_part": f"up{i}" for i in range(8)}}
    for name, key in parts.items():
        if name in arrays:
            golden = arrays[name]
            channels, length = golden.shape
            # The part after conv_pre is taken before the speaker term is added.
            ours = seen[key][0, :channels].flatten(1)  # the networks may carry a further axis of 1
            yield case.of_peak(name, ours[:, :length], golden)


def _shaped(audio: torch.Tensor, golden: np.ndarray) -> torch.Tensor:
    return audio.reshape(golden.shape) if audio.numel() == golden.size else audio


def check_spectra(case: Case) -> Iterator[Result]:
    for sample_rate in SAMPLE_RATES:
        label = rate_label(sample_rate)
        if f"signal_{label}" not in case.inputs or f"linear_{label}" not in case.arrays:
            continue
        config = standard_config(case.version if label != "40k" else "v1", sample_rate)
        settings = MelSettings.of(config.data, case.flavour)
        signal = tensor(case.inputs[f"signal_{label}"].astype(np.float32) / 32768)[None]
        linear = linear_spectrogram(signal, settings.n_fft, settings.hop, settings.win, settings.eps)
        yield case.of_peak(f"linear_{label}", linear[0], case.arrays[f"linear_{label}"])
        mel = linear_to_mel(linear, settings)
        yield case.absolute(f"mel_{label}", mel[0], case.arrays[f"mel_{label}"], 1e-3)
        if f"basis_{label}" in case.arrays:
            band = (settings.fmin, settings.fmax)
            basis = mel_basis(sample_rate, settings.n_fft, settings.n_mels, band)
            yield case.of_peak(f"basis_{label}", basis, case.arrays[f"basis_{label}"], 1e-6)


CHECKS = {"synth_": check_synth, "spectra_": check_spectra}
