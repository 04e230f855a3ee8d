"""Content encoders: HuBERT / ContentVec from RVC's and Applio's files, and the shipped starter.

`load_encoder` finds one, `which_for` says which a voice needs, `same_encoder` refuses a mismatch.
"""

from pathlib import Path

import torch

from infer.lib.content.base import MIN_SAMPLES, ContentEncoder, frames
from infer.lib.content.hubert import HubertEncoder
from infer.lib.content.hubert_files import read_hubert
from infer.lib.content.starter import StarterEncoder
from infer.lib.encoder_choice import DOWNLOAD_HINT, encoder_path, which_for
from infer.lib.errors import BadInput

__all__ = [
    "MIN_SAMPLES",
    "ContentEncoder",
    "encoder_path",
    "frames",
    "load_encoder",
    "same_encoder",
    "which_for",
]


def load_encoder(
    which: str | Path, assets: Path, device: str | torch.device = "cpu", dtype: str | torch.dtype = "fp32"
) -> ContentEncoder:
    """`which`: auto (HuBERT if it is there, else the starter), hubert, starter, or the path of one.

    Raises MissingFile or BadCheckpoint naming the file.
    """
    path = encoder_path(which, assets)
    if path.suffix == ".safetensors":
        return StarterEncoder(path, device, dtype)
    encoder = HubertEncoder(read_hubert(path), device, dtype)
    encoder.dim("v2")  # a HuBERT of other sizes is refused here, not at the first clip
    return encoder


def same_encoder(recorded: str | None, encoder: ContentEncoder, what: str = "this voice") -> None:
    """Raises BadInput unless `what`, which recorded an encoder name, was made with `encoder`.

    RVC's files record none; they were made with a HuBERT.
    """
    if recorded is None and encoder.family == "hubert":
        return
    if recorded != encoder.name:
        made_with = recorded or "a HuBERT (RVC records no name)"
        raise BadInput(
            f"{what} was made with the content encoder {made_with}, but {encoder.name} is loaded",
            _remedy(recorded, encoder),
        )


def _remedy(recorded: str | None, encoder: ContentEncoder) -> str:
    wanted = which_for(recorded)
    if wanted == encoder.family.split("-")[0]:
        return f"name the {wanted} file it was trained with: --encoder=FILE"
    return f"use --encoder={wanted}" + (f" ({DOWNLOAD_HINT})" if wanted == "hubert" else "")
