"""What the tabs of the page share. One for each server; what belongs to a browser lives in its components."""

from dataclasses import dataclass, field

import gradio as gr

from infer.jobs.detached import JobStore
from infer.web.engine import Engine
from infer.web.home import Home
from infer.web.machine import Machine
from infer.web.voices import VoiceList

# Seconds. Each tick costs every open browser some work, so they are as rare as users will bear.
TICK_S, SLOW_TICK_S = 1.5, 3.0
QUIET = {"api_visibility": "private", "show_progress": "hidden", "queue": False}  # cheap handlers


@dataclass
class Page:
    """Services, and the three components that drive what happens without a click."""

    home: Home
    jobs: JobStore
    voices: VoiceList
    engine: Engine
    machine: Machine
    second: gr.Timer = field(default=None)  # ticks every TICK_S: progress of jobs
    voices_seen: gr.Textbox = field(default=None)  # changes when the list of voices does
    jobs_seen: gr.Textbox = field(default=None)  # changes when a job begins or ends

    @classmethod
    def of(cls, home: Home) -> "Page":
        return cls(home, JobStore(home.jobs), VoiceList(home), Engine(home), Machine(home))

    def add_watchers(self) -> None:
        """Inside the Blocks: the components that notice new voices and jobs. Before any tab."""
        self.second = gr.Timer(TICK_S)
        # Not gr.State: a change of state is only told to the browser by events that queue.
        self.voices_seen, self.jobs_seen = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
        slow = gr.Timer(SLOW_TICK_S)
        seen = [self.voices_seen, self.jobs_seen]
        slow.tick(self._look, inputs=seen, outputs=seen, **QUIET)

    def _look(self, voices: str, jobs: str) -> tuple:
        now = self.voices.signature(), self.jobs.signature()
        return tuple(new if new != old else gr.skip() for new, old in zip(now, (voices, jobs), strict=True))
