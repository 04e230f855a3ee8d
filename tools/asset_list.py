"""The models that can be downloaded: where they come from, where they belong, how they are recognised.

The SHA-256 sums are those RVC publishes for its model repository.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.lib.models.spec import RATE_LABELS

REPOSITORY, REVISION = "lj1995/VoiceConversionWebUI", "main"


@dataclass(frozen=True)
class Asset:
    """A file: `source` in the repository, `place` below the assets folder. `size` in bytes, 0 if unknown."""

    source: str
    place: str
    sha256: str
    size: int = 0


HUBERT = Asset(
    "hubert_base.pt",
    "hubert/hubert_base.pt",
    "f54b40fd2802423a5643779c4861af1e9ee9c1564dc9d32f54f20b5ffba7db96",
    189_507_909,
)
RMVPE = Asset(
    "rmvpe.pt",
    "rmvpe/rmvpe.pt",
    "6d62215f4306e3ca278246188607209f09af3dc77ed4232efdd069798c4ec193",
    181_184_272,
)
HUBERT_FOLDER = tuple(
    Asset(f"hubert_base/{name}", f"hubert_base/{name}", sha256, size)
    for name, size, sha256 in (
        ("config.json", 1_492, "0346950779dfb7f9316fa74ed846e2b8a22a08eedfdc5387b73f327cb1a4a7cf"),
        ("preprocessor_config.json", 225, "7c1976a680fb7acc757cd36fb08eef878fa36c70b4c9d2d595df9c608bbbbf0e"),
        (
            "pytorch_model.bin",
            189_206_711,
            "cc8c20f4b90a520757260197a3ff2505705a7adbd20ad9eeaa4e1a9b38442ef5",
        ),
    )
)
# Bases to start training from: generator and discriminator, with and without pitch.
BASE_SUMS = {
    "pretrained": {
        "D32k": "2ab20645829460fdad0d3c44254f1ab53c32cae50c22a66c926ae5aa30abda6f",
        "D40k": "547f66dbbcd9023b9051ed244d12ab043ba8a4e854b154cc28761ac7c002909b",
        "D48k": "8cc013fa60ed9c3f902f5bd99f48c7e3b9352d763d4d3cd6bc241c37b0bfd9ad",
        "G32k": "81817645cde7ed2e2d83f23ef883f33dda564924b497e84d792743912eca4c23",
        "G40k": "e428573bda1124b0ae0ae843fd8dcded6027d3993444790b3e9b0100938b2113",
        "G48k": "3862a67ea6313e8ffefc05cee6bee656ef3e089442e9ecf4a6618d60721f3e95",
        "f0D32k": "294db3087236e2c75260d6179056791c9231245daf5d0485545d9e54c4057c77",
        "f0D40k": "7d4f5a441594b470d67579958b2fd4c6b992852ded28ff9e72eda67abcebe423",
        "f0D48k": "1b84c8bf347ad1e539c842e8f2a4c36ecd9e7fb23c16041189e4877e9b07925c",
        "f0G32k": "285f524bf48bb692c76ad7bd0bc654c12bd9e5edeb784dddf7f61a789a608574",
        "f0G40k": "9115654aeef1995f7dd3c6fc4140bebbef0ca9760bed798105a2380a34299831",
        "f0G48k": "78bc9cab27e34bcfc194f93029374d871d8b3e663ddedea32a9709e894cc8fe8",
    },
    "pretrained_v2": {
        "D32k": "d8043378cc6619083d385f5a045de09b83fb3bf8de45c433ca863b71723ac3ca",
        "D40k": "471378e894e7191f89a94eda8288c5947b16bbe0b10c3f1f17efdb7a1d998242",
        "D48k": "db01094a93c09868a278e03dafe8bb781bfcc1a5ba8df168c948bf9168c84d82",
        "G32k": "869b26a47f75168d6126f64ac39e6de5247017a8658cfd68aca600f7323efb9f",
        "G40k": "a3843da7fde33db1dab176146c70d6c2df06eafe9457f4e3aa10024e9c6a4b69",
        "G48k": "2e2b1581a436d07a76b10b9d38765f64aa02836dc65c7dee1ce4140c11ea158b",
        "f0D32k": "bd7134e7793674c85474d5145d2d982e3c5d8124fc7bb6c20f710ed65808fa8a",
        "f0D40k": "6b6ab091e70801b28e3f41f335f2fc5f3f35c75b39ae2628d419644ec2b0fa09",
        "f0D48k": "2269b73c7a4cf34da09aea99274dabf99b2ddb8a42cbfb065fb3c0aa9a2fc748",
        "f0G32k": "2332611297b8d88c7436de8f17ef5f07a2119353e962cd93cda5806d59a1133d",
        "f0G40k": "3b2c44035e782c4b14ddc0bede9e2f4a724d025cd073f736d4f43708453adfcb",
        "f0G48k": "b5d51f589cc3632d4eae36a315b4179397695042edc01d15312e1bddc2b764a4",
    },
}


def _bases(folder: str, rates: Sequence[str] = RATE_LABELS) -> tuple[Asset, ...]:
    return tuple(
        Asset(f"{folder}/{name}.pth", f"{folder}/{name}.pth", sha256)
        for name, sha256 in BASE_SUMS[folder].items()
        if name[-3:] in rates
    )


GROUPS: dict[str, tuple[Asset, ...]] = {
    "hubert": (HUBERT,),
    "hubert_folder": HUBERT_FOLDER,
    "rmvpe": (RMVPE,),
    "pretrained": _bases("pretrained"),
    "pretrained_v2": _bases("pretrained_v2"),
    **{f"{folder}_{rate}": _bases(folder, (rate,)) for folder in BASE_SUMS for rate in RATE_LABELS},
}
SHOWN_GROUPS = ("hubert", "hubert_folder", "rmvpe", *BASE_SUMS)  # what the doctor lists
# The Transformers folder holds the same network as hubert_base.pt, so "all" leaves it out.
GROUPS["all"] = GROUPS["hubert"] + GROUPS["rmvpe"] + GROUPS["pretrained"] + GROUPS["pretrained_v2"]


@dataclass(frozen=True)
class Presence:
    """How many files of a group are there, and how many of those are not complete. `bytes`: 0 if unknown."""

    name: str
    there: int
    wanted: int
    short: int
    bytes: int

    @property
    def complete(self) -> bool:
        return self.there == self.wanted and not self.short


def presence(group: str, assets: Path) -> Presence:
    """What of a group lies in the assets folder. Sizes are compared, hashes are not."""
    wanted = GROUPS[group]
    there = [asset for asset in wanted if (assets / asset.place).is_file()]
    short = [asset for asset in there if asset.size and (assets / asset.place).stat().st_size != asset.size]
    sizes = [asset.size for asset in wanted]
    return Presence(group, len(there), len(wanted), len(short), sum(sizes) if all(sizes) else 0)


def assets_of(names: Sequence[str]) -> list[Asset]:
    """The files of the named groups, each once."""
    return list(dict.fromkeys(asset for name in names for asset in GROUPS[name]))
