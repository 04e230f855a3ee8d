"""What the commands of a step tell, merged: totals and progress add up, the end is told once."""

from infer.jobs.events import Event, Failed, Finished, Progress, Started


class Outcome:
    """Merges the events of commands that run side by side.

    A command may report several stages one after the other (a chain of its own): the last one's
    summary is the command's, the earlier ones are told as they end.
    """

    def __init__(self, n_commands: int):
        self._stages = [""] * n_commands
        self._done = [0.0] * n_commands
        self._total = [0] * n_commands
        self._waited_for = set(range(n_commands))  # those that have not told their total yet
        self._finished: dict[int, Finished] = {}
        self.reasons: list[str] = []

    @property
    def summary(self) -> dict:
        """Counts of all commands added up; of other values the first."""
        merged: dict = {}
        for number in sorted(self._finished):
            for key, value in self._finished[number].summary.items():
                countable = isinstance(value, int | float) and not isinstance(value, bool)
                if countable and key in merged:
                    merged[key] += value
                else:
                    merged.setdefault(key, value)
        return merged

    def merge(self, number: int, event: Event) -> list[Event]:
        """What the listener is told when command `number` says `event`."""
        match event:
            case Started(stage, total):
                return self._started(number, stage, total or 0)
            case Progress(done, total, item, part):
                return self._progressed(number, (done + part, total), item)
            case Finished():
                earlier = self._finished.get(number)
                self._finished[number] = event
                return [*self._settled(number), *([earlier] if earlier else [])]
            case Failed(_, reason):
                self.reasons.append(reason)
                return self._settled(number)
        return [event]

    def closed(self, number: int) -> list[Event]:
        """The command has ended: nobody waits for its total any more."""
        return self._settled(number)

    def _started(self, number: int, stage: str, total: int) -> list[Event]:
        earlier = self._finished.pop(number, None)
        if self._stages[number]:
            self._waited_for = {number}  # the next stage of a chain
        self._stages[number], self._done[number], self._total[number] = stage, 0, total
        return [*([earlier] if earlier else []), *self._settled(number)]

    def _progressed(self, number: int, state: tuple[float, int], item: str) -> list[Event]:
        self._done[number], self._total[number] = state
        events = self._settled(number)
        if self._waited_for:
            return events  # half a total would make the bar run backwards
        done = sum(self._done)
        return [*events, Progress(int(done), sum(self._total), item, round(done - int(done), 4))]

    def _settled(self, number: int) -> list[Event]:
        """`number` is no longer waited for; Started is told when it was the last."""
        if number not in self._waited_for:
            return []
        self._waited_for.discard(number)
        if self._waited_for or not any(self._stages):
            return []
        stage = self._stages[number] or next(filter(None, self._stages))
        return [Started(stage, sum(self._total) or None)]
