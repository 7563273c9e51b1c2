"""What a session came to, printed when it has ended."""

from pathlib import Path

from rich.console import Console

from phosphene.messages import Status
from phosphene.states import State


def print_summary(console: Console, status: Status) -> None:
    """Say what was recorded, how well it was decoded, and where everything lies."""
    from phosphene.analysis.evaluation import read_evaluation, summary
    from phosphene.dataset.study import SessionFolder

    folder = SessionFolder.at(Path(status.folder))
    lines = [f"recorded  {recorded(status)}"]
    if folder.evaluation_file.exists():
        lines += [f"decoding  {line}" for line in summary(read_evaluation(folder))]
    if status.problem and status.state is not State.FAILED:
        lines.append(f"problem   {status.problem}")
    if folder.debrief_file.exists():
        lines.append(f"debrief   {folder.debrief_file.read_text(encoding='utf-8').strip()}")
    lines.append(f"dataset   {folder.study_root}")
    lines += [f"bundle    {bundle}" for bundle in folder.bundles()[-1:]]
    if folder.report_file.exists():
        lines.append(f"report    {folder.report_file}")
    for line in lines:
        # A path is never broken, so that it can be copied or clicked.
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def recorded(status: Status) -> str:
    """Return in words what lies on disk."""
    blocks = f"{status.blocks_done} of {status.blocks_total} blocks"
    return f"{blocks}, {status.trials_shown} trials, {status.n_samples} samples"
