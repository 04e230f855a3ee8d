"""Where content encoders lie and which one is meant. Light: imports no torch."""

from pathlib import Path

from infer.lib.errors import MissingFile
from infer.lib.starter_files import ENCODER_FILE, FOLDER

# Below the assets folder, in the order of preference.
HUBERT_PLACES = ("hubert/hubert_base.pt", "hubert_base", "hubert/hubert_base")
STARTER_PLACE = f"{FOLDER}/{ENCODER_FILE}"
DOWNLOAD_HINT = "run `python tools/download_assets.py hubert`"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # in a Transformers folder


def encoder_path(which: str | Path, assets: Path) -> Path:
    """The file or folder that `which` (auto, hubert, starter, or a path) means. Raises MissingFile."""
    assets = Path(assets)
    hubert = next((assets / place for place in HUBERT_PLACES if _is_model(assets / place)), None)
    if which == "starter" or (which == "auto" and hubert is None):
        return assets / STARTER_PLACE
    if which in ("auto", "hubert"):
        if hubert is None:
            raise MissingFile(f"{assets / HUBERT_PLACES[0]} is missing", DOWNLOAD_HINT)
        return hubert
    if not Path(which).exists():
        raise MissingFile(
            f"there is no content encoder at {which}", "use auto, hubert, starter, or the path of one"
        )
    # The weights of a Transformers folder mean the folder: they are read with its config.json.
    return Path(which).parent if Path(which).name in WEIGHT_FILES else Path(which)


def encoder_family(which: str | Path, assets: Path) -> str:
    """ "hubert" or "starter": what clips encoded with `which` will say of themselves."""
    return "starter" if encoder_path(which, assets).suffix == ".safetensors" else "hubert"


def which_for(recorded: str | None) -> str:
    """The `which` for a voice or index that recorded this encoder name (None: a file of RVC)."""
    return "starter" if (recorded or "").startswith("starter") else "hubert"


def _is_model(path: Path) -> bool:
    return path.is_file() or (path / "config.json").is_file()
