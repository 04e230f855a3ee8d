"""The pitch that a voice is asked to sing: found in the source, filled, transposed, or from a file."""

import numpy as np

from infer.lib import f0
from infer.lib.f0.curve import FRAMES_PER_SECOND, F0Curve, read_curve_file
from infer.lib.f0.tracking import Estimator
from infer.vc.options import ConvertOptions


def track(padded: np.ndarray, estimator: Estimator, options: ConvertOptions, fill: bool) -> F0Curve:
    """The curve of a padded signal at 16 kHz, one frame for each 160 samples, before transposition.

    `fill` interpolates over unvoiced frames. Unvoiced frames are 0 otherwise.
    """
    curve = estimator(padded, len(padded) // f0.HOP)
    curve = f0.smooth(curve, estimator.method.name, options.filter_radius)
    return curve.fill_unvoiced() if fill else curve


def transpose(curve: F0Curve, options: ConvertOptions, pad_s: float) -> F0Curve:
    """Shifted by f0_up_key; then the curve file, if there is one, from the end of the padding on."""
    curve = curve.shift(options.f0_up_key)
    if options.f0_file is None:
        return curve
    return curve.replace_from(read_curve_file(options.f0_file), round(pad_s * FRAMES_PER_SECOND))
