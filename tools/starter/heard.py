"""Quick judgements during training; `tools.starter.measure_encoder` is the thorough one."""

from collections import defaultdict

import torch
from torch.nn import functional

from infer.lib.content.base import frames
from tools.starter.augment import LogMel, normalised
from tools.starter.learner import Learner
from tools.starter.pool import SAMPLE_RATE, Pool
from tools.starter.scores import edit_distance

PROBED_CORPORA = ("librispeech", "vctk")
WINDOW = 100  # content frames (2 s) over which a speaker is guessed
PROBE_STEPS = 300
MEL_FRAMES = 2  # for each content frame


@torch.inference_mode()
def phone_error_rate(pool: Pool, model: Learner, log_mel: LogMel) -> dict[str, float]:
    """Edits for each phone of the reference, by corpus and over all; greedy, each clip by itself."""
    edits, lengths = defaultdict(int), defaultdict(int)
    for number, item in enumerate(pool.items):
        logits = model.phones_ctc(model(normalised(log_mel(pool.clip(number)[None])))[0])[0]
        best = logits.argmax(-1).tolist()
        heard = [p for i, p in enumerate(best) if p and (i == 0 or p != best[i - 1])]
        for name in (item.corpus, "all"):
            edits[name] += edit_distance(item.phones, heard)
            lengths[name] += len(item.phones)
    return {name: edits[name] / max(lengths[name], 1) for name in edits}


def speaker_probe(pool: Pool, model: Learner, log_mel: LogMel) -> tuple[float, float]:
    """Accuracy of a linear guess of the speaker from two seconds, by content and by log-mel.

    Trained on the first two thirds of each clip of LibriSpeech and VCTK, tried on the rest.
    """
    rows: dict[str, list] = {"content": [], "mel": [], "speaker": [], "late": []}
    with torch.inference_mode():
        for number, item in enumerate(pool.items):
            if item.corpus in PROBED_CORPORA:
                _add_windows(rows, pool, number, model, log_mel)
    if not rows["late"]:
        return float("nan"), float("nan")
    wanted = torch.unique(torch.tensor(rows["speaker"]), return_inverse=True)[1].to(pool.device)
    late = torch.tensor(rows["late"], device=pool.device)
    return tuple(_line(torch.stack(rows[name]), wanted, late) for name in ("content", "mel"))


def _add_windows(rows: dict, pool: Pool, number: int, model: Learner, log_mel: LogMel) -> None:
    mel = normalised(log_mel(pool.clip(number)[None]))
    content = model(mel)[0][0].float()
    mel = mel[0].T
    length = min(len(content), frames(int(pool.seconds[number] * SAMPLE_RATE)))
    starts = range(0, length - WINDOW + 1, WINDOW)
    for start in starts:
        rows["content"].append(content[start : start + WINDOW].mean(0))
        rows["mel"].append(mel[MEL_FRAMES * start : MEL_FRAMES * (start + WINDOW)].mean(0))
        rows["speaker"].append(int(pool.speakers[number]))
        rows["late"].append(start + WINDOW > length * 2 / 3)


def _line(x: torch.Tensor, wanted: torch.Tensor, late: torch.Tensor) -> float:
    x = x.clone()
    early = ~late
    x = (x - x[early].mean(0)) / (x[early].std(0) + 1e-6)
    line = torch.nn.Linear(x.shape[1], int(wanted.max()) + 1).to(x.device)
    optimizer = torch.optim.Adam(line.parameters(), lr=0.02, weight_decay=1e-4)
    with torch.enable_grad():
        for _ in range(PROBE_STEPS):
            optimizer.zero_grad()
            functional.cross_entropy(line(x[early]), wanted[early]).backward()
            optimizer.step()
    return float((line(x[late]).argmax(-1) == wanted[late]).float().mean())
