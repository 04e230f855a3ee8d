"""How long one item takes, from recent progress: what is left is that times the rest."""

from collections import deque

WINDOW_S = 30.0  # at least; longer runs are averaged over this share of their time:
WINDOW_SHARE = 0.3
LEAST_S = 3.0  # before that a rate means nothing
SPACING_S = 0.5
MOST_SAMPLES = 400


class Pace:
    """`add(now_s, done)` as items finish (fractions count); `seconds_each` is None until meaningful.

    The first call sets the start: what was done before (a resumed run) does not count as speed.
    """

    def __init__(self):
        self._samples: deque[tuple[float, float]] = deque(maxlen=MOST_SAMPLES)

    def add(self, now_s: float, done: float) -> None:
        if self._samples and (done < self._samples[-1][1] or now_s < self._samples[-1][0]):
            self._samples.clear()  # another step, or the clock was set back
        if len(self._samples) > 1 and now_s - self._samples[-2][0] < self._spacing(now_s):
            self._samples.pop()  # the newest replaces its neighbour
        self._samples.append((now_s, done))

    @property
    def seconds_each(self) -> float | None:
        if len(self._samples) < 2:
            return None
        (first_s, _), (now_s, done) = self._samples[0], self._samples[-1]
        elapsed_s = now_s - first_s
        window_s = max(WINDOW_S, WINDOW_SHARE * elapsed_s)
        base_s, base = next(sample for sample in self._samples if sample[0] >= now_s - window_s)
        if base >= done:  # nothing finished within the window: all that is known
            base_s, base = self._samples[0]
        if elapsed_s < LEAST_S or base >= done:
            return None
        return (now_s - base_s) / (done - base)

    def _spacing(self, now_s: float) -> float:
        return max(SPACING_S, (now_s - self._samples[0][0]) / (MOST_SAMPLES / 2))
