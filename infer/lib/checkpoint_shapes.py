"""Which network a generator checkpoint is of, told by the shapes of its tensors. Light: imports no torch."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from infer.lib.errors import BadInput
from infer.lib.models.spec import SAMPLE_RATES, VERSIONS, Config, ModelSpec, standard_config


def spec_from_tensors(model: Mapping[str, Any], config: Config | None = None) -> ModelSpec:
    """The network that a generator's tensors are of; anything with a `shape` counts as a tensor.

    Sizes come from the shapes; upsampling rates, which shapes do not tell, from `config` or from
    the standard configuration whose kernels and spectrogram they match. Raises BadInput.
    """
    try:
        version = {256: "v1", 768: "v2"}[model["enc_p.emb_phone.weight"].shape[1]]
        use_f0 = "enc_p.emb_pitch.weight" in model
        kernels = kernels_of(model)
        bins = model["enc_q.pre.weight"].shape[1]
        candidates = [config] if config else [standard_config(v, r) for v in VERSIONS for r in SAMPLE_RATES]
        for candidate in candidates:
            spec = candidate.spec(version, use_f0)
            if (spec.upsample_kernel_sizes, spec.spec_channels) == (kernels, bins):
                return dataclasses.replace(spec, **_sizes(model))
    except (KeyError, IndexError, ValueError) as error:
        raise BadInput(
            f"this is not the generator of a known network ({error})", "give its config.json"
        ) from error
    raise BadInput(
        f"no known network has upsampling kernels {list(kernels)} and {bins} spectrogram bins",
        "put the config.json of the experiment beside the checkpoint",
    )


def kernels_of(model: Mapping[str, Any]) -> tuple[int, ...]:
    """Kernel sizes of the upsampling layers."""
    stages = count_of(model, r"dec\.ups\.(\d+)\.")
    return tuple(model[f"dec.ups.{stage}.weight_v"].shape[2] for stage in range(stages))


def count_of(model: Iterable[str], pattern: str) -> int:
    """One more than the highest number that the pattern finds in a name."""
    return 1 + max((int(found.group(1)) for name in model if (found := re.match(pattern, name))), default=-1)


def _sizes(model: Mapping[str, Any]) -> dict[str, int]:
    shape = {name: tuple(tensor.shape) for name, tensor in model.items()}
    hidden = shape["enc_p.emb_phone.weight"][0]
    feed_forward = shape["enc_p.encoder.ffn_layers.0.conv_1.weight"]
    return {
        "hidden_channels": hidden,
        "inter_channels": shape["enc_p.proj.weight"][0] // 2,
        "filter_channels": feed_forward[0],
        "kernel_size": feed_forward[2],
        "n_heads": hidden // shape["enc_p.encoder.attn_layers.0.emb_rel_k"][2],
        "n_layers": count_of(model, r"enc_p\.encoder\.attn_layers\.(\d+)\."),
        "upsample_initial_channel": shape["dec.conv_pre.weight"][0],
        "n_speakers": shape["emb_g.weight"][0],
        "gin_channels": shape["emb_g.weight"][1],
    }
