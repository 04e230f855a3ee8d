"""HuBERT / ContentVec, the content encoder of RVC: torchaudio's network, filled from either file family.

v1 takes block 9 and the projection (256), v2 block 12 (768). The audio is used as it is unless the
file says otherwise. There is no norm after the last block.
"""

import torch
from torch import nn
from torchaudio.models import wav2vec2_model

from infer.lib.content.base import (
    ContentEncoder,
    as_dtype,
    check_tensors,
    exact_convolutions,
    fingerprint,
)
from infer.lib.content.hubert_files import CONV_KERNELS, CONV_STRIDES, HubertFile
from infer.lib.errors import BadCheckpoint, BadInput
from infer.lib.models.spec import FEATURE_DIMS

V1_BLOCK = 9
N_BLOCKS = 12
NORM_EPS = 1e-5  # of the waveform normalisation that some files ask for


class HubertEncoder(ContentEncoder):
    """A HuBERT-base network on one device. `hidden` gives any block, `encode` what RVC takes."""

    family = "hubert"

    def __init__(self, file: HubertFile, device: str | torch.device = "cpu", dtype="fp32"):
        self.device = torch.device(device)
        self.dtype = as_dtype(dtype)
        self.normalize = file.normalize
        self.source = file.path
        self.network, self._projection = _build(file)
        self.name = f"{self.family}:{fingerprint(file.tensors, _fingerprint_names(file.tensors))}"
        self.network.to(self.device)
        if self._projection is not None:
            self._projection.to(self.device)

    @property
    def n_blocks(self) -> int:
        return len(self.network.encoder.transformer.layers)

    @property
    def width(self) -> int:
        return self.network.encoder.transformer.layer_norm.normalized_shape[0]

    def dim(self, version: str) -> int:
        wanted = super().dim(version)
        if (self.n_blocks, self.width) != (N_BLOCKS, FEATURE_DIMS["v2"]):
            raise BadInput(
                f"{self.source} is a HuBERT of {self.n_blocks} blocks, {self.width} wide",
                f"RVC voices need {N_BLOCKS} blocks of {FEATURE_DIMS['v2']}: use hubert_base.pt",
            )
        if version == "v1" and (self._projection is None or self._projection.out_features != wanted):
            raise BadInput(
                f"{self.source} has no projection to {wanted} (final_proj), which v1 voices need",
                "use hubert_base.pt, or train a v2 voice",
            )
        return wanted

    def hidden(self, audio: torch.Tensor, block: int, project: bool = False) -> torch.Tensor:
        """16 kHz audio [N] -> output of a block (1 = first) [T, width], or its projection."""
        audio = self._checked(audio)
        with torch.inference_mode(), exact_convolutions(self.dtype):
            return self._hidden(audio, block, project).float()

    def _content(self, audio: torch.Tensor, version: str) -> torch.Tensor:
        block = V1_BLOCK if version == "v1" else N_BLOCKS
        return self._hidden(audio, block, project=version == "v1")

    def _hidden(self, audio: torch.Tensor, block: int, project: bool) -> torch.Tensor:
        if self.normalize:
            audio = nn.functional.layer_norm(audio, audio.shape, eps=NORM_EPS)
        # The convolutions stay in fp32: their group norm divides quiet audio by its own small level.
        features, _ = self.network.feature_extractor(audio[None], None)  # [1, T, 512]
        with self._autocast():
            hidden = self.network.encoder.extract_features(features, None, num_layers=block)[-1][0]
            return self._projection(hidden) if project else hidden


def _build(file: HubertFile) -> tuple[nn.Module, nn.Linear | None]:
    """The network and the projection, holding the file's tensors without a second copy of them."""
    shape = file.shape
    with torch.device("meta"):
        network = wav2vec2_model(
            extractor_mode="group_norm",
            extractor_conv_layer_config=list(
                zip((shape.conv_channels,) * 7, CONV_KERNELS, CONV_STRIDES, strict=True)
            ),
            extractor_conv_bias=False,
            encoder_embed_dim=shape.width,
            encoder_projection_dropout=0.0,
            encoder_pos_conv_kernel=shape.pos_kernel,
            encoder_pos_conv_groups=shape.pos_groups,
            encoder_num_layers=shape.n_blocks,
            encoder_num_heads=shape.n_heads,
            encoder_attention_dropout=0.0,
            encoder_ff_interm_features=shape.inner,
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=0.0,
            encoder_layer_norm_first=False,  # HuBERT base is post-norm
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )
        _fold_weight_norm(network.encoder.transformer.pos_conv_embed)
    weights = {_torchaudio_name(name): tensor for name, tensor in _folded(file.tensors).items()}
    projection = _projection(weights)
    _fill(network, weights, file)
    return network.eval(), projection


def _fill(network: nn.Module, weights: dict[str, torch.Tensor], file: HubertFile) -> None:
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if problem := check_tensors(weights, wanted):
        raise BadCheckpoint(f"{file.path} is no HuBERT base model: it {problem}", "download the file again")
    network.load_state_dict({name: weights[name].float() for name in wanted}, assign=True)
    network.requires_grad_(False)


def _fold_weight_norm(embedding: nn.Module) -> None:
    """A plain convolution in place of the weight-normed one: its weight never changes here."""
    old = embedding.conv
    embedding.conv = nn.Conv1d(
        old.in_channels, old.out_channels, old.kernel_size, padding=old.padding, groups=old.groups
    )


def _folded(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """weight_g [1, 1, K], weight_v [C, C/groups, K] -> weight. The norm runs over both channel axes."""
    stem = "encoder.pos_conv_embed.conv."
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(stem + "weight")}
    gain, direction = tensors[stem + "weight_g"].double(), tensors[stem + "weight_v"].double()
    weight = direction * (gain / direction.norm(dim=(0, 1), keepdim=True))
    return {**rest, stem + "weight": weight.float()}


def _projection(weights: dict[str, torch.Tensor]) -> nn.Linear | None:
    if "final_proj.weight" not in weights or "final_proj.bias" not in weights:
        return None
    weight, bias = weights["final_proj.weight"], weights["final_proj.bias"]
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.load_state_dict({"weight": weight.float(), "bias": bias.float()}, assign=True)
    return linear.requires_grad_(False).eval()


def _torchaudio_name(name: str) -> str:
    """Transformers' name -> torchaudio's: the same parts, two of them under further parents."""
    if name.startswith("feature_projection."):
        return "encoder." + name
    if name.startswith("encoder."):
        return "encoder.transformer." + name.removeprefix("encoder.")
    return name


def _fingerprint_names(tensors: dict[str, torch.Tensor]) -> list[str]:
    last = max(int(name.split(".")[2]) for name in tensors if name.startswith("encoder.layers."))
    return [
        "feature_extractor.conv_layers.0.conv.weight",
        "feature_projection.projection.weight",
        "encoder.layers.0.attention.q_proj.weight",
        f"encoder.layers.{last // 2}.feed_forward.intermediate_dense.bias",
        f"encoder.layers.{last}.attention.out_proj.weight",
        f"encoder.layers.{last}.final_layer_norm.weight",
    ]
