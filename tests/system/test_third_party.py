"""A decoder in a distribution of its own works against the built wheel, by one line of YAML."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from phosphene.feedback_table import read_trials

REPOSITORY = Path(__file__).parents[2]
PLUGIN = REPOSITORY / "tests" / "third_party" / "phosphene-nearest-mean"

SESSION = """
format: 1
protocol: [record, train, feedback, report]
stimuli: {standin: {classes: 4, images: 40, gallery: 2, size: 32}}
acquisition: {simulated: {channels: 16, sfreq: 250, code: power}}
preprocessing: paper
decoder: nearest-mean
generator: retrieval
paradigm: {interleaved: {runs: 2, blocks: 5, duration: 0.5, pause: 2, cue: 0.5}}
feedback: {feedback: {runs: 1, blocks: 1, trials: 8, duration: 0.5, gap: 1.0, picture: 0.5}}
screen: {kind: headless, refresh_rate: 60}
clock: virtual
"""


def pip(*arguments: str) -> None:
    # No index and no build isolation: everything that is needed is here already.
    subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--no-index",
         "--no-build-isolation", "--disable-pip-version-check"],
        check=True,
    )  # fmt: skip


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment in which the wheel and the plugin are installed, before all else."""
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    pip("wheel", "--wheel-dir", str(wheels), str(REPOSITORY))
    [wheel] = wheels.glob("phosphene-*.whl")
    pip("install", "--target", str(site), str(wheel), str(PLUGIN))
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}


@pytest.mark.timeout(300)
def test_a_third_party_decoder_is_listed_checked_trained_and_used_in_feedback(
    installed: dict[str, str], tmp_path: Path
) -> None:
    def phosphene(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "phosphene", *arguments],
            env=installed, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    listed = json.loads(phosphene("plugins", "list", "--json"))
    [plugin] = [p for p in listed if "nearest-mean" in str(p["offers"])]
    assert plugin["distribution"] == "phosphene-nearest-mean"
    assert not plugin["problem"]
    assert "conforms" in phosphene("plugins", "check", "nearest-mean")

    file = tmp_path / "session.yaml"
    file.write_text(SESSION + f"output: {tmp_path / 'study'}\ncache: {tmp_path / 'cache'}\n")
    phosphene("run", str(file), "--subject", "01", "--session", "01")

    derivatives = tmp_path / "study" / "derivatives" / "phosphene" / "sub-01" / "ses-01"
    [bundle] = derivatives.rglob("bundle.json")
    assert list(json.loads(bundle.read_text())["decoder"]) == ["nearest-mean"]
    decodings = (derivatives / "decodings.tsv").read_text().splitlines()
    assert len(decodings) == 1 + 8
    shown = [trial.picture for trial in read_trials(derivatives / "feedback.tsv")]
    assert len(shown) == 8
    assert all((derivatives / "pictures" / f"{picture}.png").exists() for picture in shown)
