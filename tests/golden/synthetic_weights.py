"""Deterministic synthetic weights for any RVC-shaped network.

Nobody needs a published model to prove that an implementation computes the
right thing: every tensor of a network is filled from its *name* and *shape*,
so two implementations with the same parameter names get the same weights.

Base draw of a tensor (always, whatever the rule below)::

    n = numpy.random.default_rng(zlib.crc32(key.encode("utf-8"))) \
             .standard_normal(shape).astype(numpy.float32)

`key` is the full state-dict name (``dec.ups.0.weight_v``), without any
``module.`` prefix.  The value is then, first matching rule wins:

 1. integer dtype (``num_batches_tracked``)      0
 2. ``*.weight_g``          ||v|| * (1 + 0.1*n), v = the synthetic ``weight_v``
                            of the same layer, norm over every axis on which
                            weight_g has length 1 (all but 0, except in
                            HuBERT's positional convolution: all but 2),
                            taken in float64, then cast to float32
 3. ``*.running_var``                            1 + 0.1*|n|
 4. ``*.running_mean``                           0.1*n
 5. ``*.gamma``, or a 1-d ``*.weight``           1 + 0.1*n
 6. ``*.beta``                                   0.1*n
 7. any other 0-d / 1-d tensor (biases)          0.02*n
 8. ``emb_g.weight``                             n
 9. ``*.emb_rel_k``, ``*.emb_rel_v``             n / sqrt(last axis)
10. everything else (2-d and more)               n * gain / sqrt(fan_in)
                            fan_in = product of every axis but 0;
                            gain = GAINS of the first pattern found in the key,
                            else 1

All arithmetic is float32 (the scale factor is rounded to float32 first).

Only NumPy is needed::

    from synthetic_weights import fill, load_spec
    arrays = fill(load_spec("G.v2.40k.f0"))          # {key: ndarray}
"""

import gzip
import json
import math
import zlib
from pathlib import Path

import numpy as np

# (substring of the key, gain) - first hit wins.  They only keep the
# activations of the random networks in a healthy range.
GAINS = (
    ("enc_p.emb_phone.weight", 0.2),
    ("enc_p.emb_pitch.weight", 1.5),
    ("enc_p.proj.weight", 0.5),
    ("enc_q.proj.weight", 0.5),
    ("dec.m_source.l_linear.weight", 8.0),
    ("dec.conv_post.weight", 0.4),
    ("discriminators.", 1.4),
    ("unet.encoder.layers.", 0.6),
    ("unet.intermediate.layers.", 0.6),
    ("unet.decoder.layers.", 0.6),
    ("fc.1.weight", 2.0),
)

_HERE = Path(__file__).resolve().parent


def draw(key, shape):
    """The float32 standard-normal draw that belongs to a key."""
    rng = np.random.default_rng(zlib.crc32(key.encode("utf-8")))
    return rng.standard_normal(tuple(shape)).astype(np.float32)


def gain_of(key):
    for pattern, gain in GAINS:
        if pattern in key:
            return gain
    return 1.0


def tensor(key, shape, dtype="float32", v_shape=None):
    """Value of one tensor.  `v_shape` (shape of weight_v) only for weight_g."""
    shape = tuple(int(s) for s in shape)
    f32 = np.float32
    if "int" in str(dtype):
        return np.zeros(shape, dtype=np.int64)
    n = draw(key, shape)
    if key.endswith(".weight_g"):
        v = tensor(key[: -len("weight_g")] + "weight_v", v_shape)
        axes = tuple(i for i, size in enumerate(shape) if size == 1)
        norm = np.sqrt((v.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))
        return norm.astype(f32) * (f32(1) + f32(0.1) * n)
    if key.endswith(".running_var"):
        return f32(1) + f32(0.1) * np.abs(n)
    if key.endswith(".running_mean"):
        return f32(0.1) * n
    if key.endswith(".gamma") or (len(shape) == 1 and key.endswith(".weight")):
        return f32(1) + f32(0.1) * n
    if key.endswith(".beta"):
        return f32(0.1) * n
    if len(shape) <= 1:
        return f32(0.02) * n
    if key == "emb_g.weight":
        return n
    if key.endswith((".emb_rel_k", ".emb_rel_v")):
        return n * f32(1.0 / math.sqrt(shape[-1]))
    fan_in = 1
    for s in shape[1:]:
        fan_in *= s
    return n * f32(gain_of(key) / math.sqrt(fan_in))


def fill(spec):
    """{key: shape or (shape, dtype)} -> {key: ndarray}, same order."""
    shapes = {}
    for key, value in spec.items():
        if len(value) == 2 and isinstance(value[1], str):
            shapes[key] = (tuple(value[0]), value[1])
        else:
            shapes[key] = (tuple(value), "float32")
    out = {}
    for key, (shape, dtype) in shapes.items():
        v_shape = None
        if key.endswith(".weight_g"):
            v_shape = shapes[key[: -len("weight_g")] + "weight_v"][0]
        out[key] = tensor(key, shape, dtype, v_shape)
    return out


def fuse_weight_norm(arrays):
    """Replace every weight_g/weight_v pair by the plain weight it stands for.

    weight = weight_v * (weight_g / ||weight_v||), norm over weight_g's length-1 axes.
    """
    out = {}
    for key, value in arrays.items():
        if key.endswith(".weight_g"):
            continue
        if key.endswith(".weight_v"):
            stem = key[: -len("weight_v")]
            g = arrays[stem + "weight_g"]
            axes = tuple(i for i, size in enumerate(g.shape) if size == 1)
            norm = np.sqrt((value.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))
            out[stem + "weight"] = (value * (g / norm)).astype(np.float32)
        else:
            out[key] = value
    return out


def load_specs(path=None):
    """The whole spec file as {"components": ..., "models": ...}."""
    path = path or _HERE / "specs.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return json.load(f)


def load_spec(name, path=None):
    """Ordered {key: (shape, dtype)} of one model named in specs.json.gz."""
    data = load_specs(path)
    spec = {}
    for component in data["models"][name]:
        for key, value in data["components"][component]:
            shape, dtype = (
                (value[0], value[1]) if value and isinstance(value[-1], str) else (value, "float32")
            )
            spec[key] = (tuple(shape), dtype)
    return spec


if __name__ == "__main__":
    names = load_specs()["models"]
    for name in names:
        spec = load_spec(name)
        total = sum(int(np.prod(s)) for s, _ in spec.values())
        print(f"{name:28s} {len(spec):4d} tensors {total:12d} values")
