"""The files of assets/starter, which come with the program. Light: imports no torch.

The base is a generator to fine-tune from and, without its posterior encoder, the demo voices.
"""

from pathlib import Path

FOLDER = "starter"
ENCODER_FILE = "content_encoder.safetensors"
BASE_FILE = "base_v2_40k_f0.safetensors"
INDEX_FILE = "demo_index.safetensors"
VOICE_NAME = "starter"  # what the demo voices are called among the voices


def starter_base(assets: Path) -> Path | None:
    """The base, if it is there."""
    path = Path(assets) / FOLDER / BASE_FILE
    return path if path.is_file() else None


def is_demo(voice: Path | str) -> bool:
    """Whether a voice file is the base with the demo voices."""
    return Path(voice).name == BASE_FILE


def demo_index(voice: Path | str) -> Path | None:
    """The index of the demo voices beside their file; None for another voice, or where it is gone."""
    path = Path(voice).with_name(INDEX_FILE)
    return path if is_demo(voice) and path.is_file() else None


def voice_name(voice: Path | str) -> str:
    """What a voice is called: its file name without suffix, or "starter"."""
    return VOICE_NAME if is_demo(voice) else Path(voice).stem
