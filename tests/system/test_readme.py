"""What the README says works: its session file, its commands, its links."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from phosphene_stimuli.standin import StandinConfig

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
TUTORIAL = (REPOSITORY / "docs" / "tutorial.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", README + TUTORIAL, re.MULTILINE)
RECORDED = """
format: 1
extends: demo
protocol: [record, report]
stimuli: {standin: {classes: 4, images: 20, gallery: 1, size: 32}}
acquisition: {simulated: {channels: 16, sfreq: 250}}
decoder: power-lr
paradigm: {interleaved: {runs: 2, blocks: 3, classes: 4, duration: 0.5, pause: 1, cue: 0.5}}
output: study
"""


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader of the README would have it: images, and a recorded session."""
    folder = tmp_path_factory.mktemp("lab")
    config = StandinConfig(classes=40, images=1, gallery=1, size=32)
    (folder / "images").symlink_to(config.build(folder / "cache").root)
    for text in blocks("yaml", README + TUTORIAL):
        name = text.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(text)
    (folder / "recorded.yaml").write_text(RECORDED)
    run(folder, "phosphene run recorded.yaml --subject 01 --session 01")
    return folder


def run(folder: Path, command: str) -> str:
    arguments = shlex.split(command)
    assert arguments.pop(0) == "phosphene"
    done = subprocess.run(
        [sys.executable, "-m", "phosphene", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "command",
    dict.fromkeys(c.replace("my-study", "study") for c in COMMANDS if c.split()[:2] in (
        ["phosphene", "evaluate"], ["phosphene", "report"], ["phosphene", "train"],
        ["phosphene", "plan"],
    ) or c.startswith(("phosphene config check", "phosphene plugins"))),
)  # fmt: skip
def test_a_command_of_the_documentation_works(place: Path, command: str) -> None:
    assert run(place, command)


def test_every_command_that_is_named_exists() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "phosphene", "--help"], capture_output=True, text=True, check=True
    ).stdout
    named = {command.split()[1] for command in COMMANDS if command.startswith("phosphene ")}
    assert named
    assert all(re.search(rf"│ {name} ", listed) for name in named)


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    assert (REPOSITORY / ".ci" / "run").read_text().strip().endswith("make test")


def test_every_link_to_a_file_leads_to_one() -> None:
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_link_to_a_heading_leads_to_one() -> None:
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]:
        for target, anchor in re.findall(r"\]\(((?!https?://)[^)#]*)#([^)]+)\)", page.read_text()):
            there = (page.parent / target) if target else page
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            assert anchor in slugs, f"{page.name} links to {target}#{anchor}"
