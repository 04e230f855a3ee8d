"""What `train_all` does: the chain of infer/stages/chain.py, in this process, to its end."""

from infer.jobs.events import Finished, Report
from infer.jobs.experiment import Experiment
from infer.jobs.runner import Runner, stopped_by_signals
from infer.lib.errors import MissingFile
from infer.stages.chain import index_step, preparation, training_step
from infer.stages.chain_options import TrainAllOptions

STAGE = "train_all"


def run(options: TrainAllOptions, report: Report) -> dict:
    """Runs the chain; returns where voice and index are. Raises StageFailed with the stage's reason."""
    experiment = Experiment.find(options.experiment)
    if options.trainset is None and not experiment.root.is_dir():
        raise MissingFile(
            f"there is no experiment {experiment.root}",
            "name a folder of recordings with --trainset to begin it",
        )
    with stopped_by_signals(Runner(report, experiment.events_file)) as runner:
        for step in preparation(options, experiment):
            runner.run_step(step)
        # The index comes before training, so that every saved epoch can be heard with it.
        index = runner.run_step(index_step(options, experiment))
        trained = runner.run_step(training_step(options, experiment, report))
    summary = {"voice": trained.get("voice", ""), "index": index.get("file", "")}
    report(Finished(STAGE, summary))
    return summary
