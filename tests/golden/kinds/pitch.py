"""rmvpe*: spectrogram, network and decoder of RMVPE."""

from collections.abc import Iterator

import numpy as np
import torch

from infer.lib.f0.rmvpe import Rmvpe, decode, log_mel, mel_basis
from infer.lib.f0.rmvpe_net import RmvpeNet
from tests.golden.core import Case, Result


def check_rmvpe(case: Case) -> Iterator[Result]:
    network = RmvpeNet()
    network.load_state_dict(case.folder.weights("RMVPE"))
    tracker = Rmvpe(network, "cpu")
    if "mel_basis" in case.arrays:
        yield case.of_peak("mel_basis", mel_basis(), case.arrays["mel_basis"], 1e-5)
    if "craft_salience" in case.arrays:
        f0 = decode(case.arrays["craft_salience"])
        yield case.relative("craft_f0", f0, case.arrays["craft_f0"], 1e-4)
    for name, signal in case.arrays.items():
        if not name.startswith("signal_"):
            continue
        length = name.removeprefix("signal_")
        audio = signal.astype(np.float32) / 32768 if signal.dtype == np.int16 else signal
        mel = log_mel(torch.from_numpy(audio))
        yield case.absolute(f"mel_{length}", mel, case.arrays[f"mel_{length}"], 1e-3)
        salience = tracker.salience(audio)
        yield case.absolute(f"salience_{length}", salience, case.arrays[f"salience_{length}"], 1e-4)
        yield case.relative(f"f0_{length}", decode(salience), case.arrays[f"f0_{length}"], 1e-4)


CHECKS = {"rmvpe": check_rmvpe}
