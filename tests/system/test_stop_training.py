"""Ending a long training early costs the rest of the training, not the decoder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from phosphene.bundle import load_bundle
from phosphene.client import Client
from phosphene.messages import Progress
from phosphene.roles.catalogue import House

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

ENDLESS = "decoder: {plain-stft: {epochs: 100000, patience: 100000, widths: [4, 4]}}\n"


@pytest.fixture
def session_file(session_file: Path) -> Path:
    """A session whose training takes hours."""
    text = session_file.read_text().replace("[record]", "[record, train]")
    session_file.write_text(text.replace("decoder: power-lr\n", ENDLESS))
    return session_file


def check_bundle(session: Path) -> None:
    """There is one bundle, it can be loaded, and its card says that training was interrupted."""
    house = House.of(session)
    (bundle,) = house.folder.bundles()
    assert len(load_bundle(bundle, house.registry, house.context).decoder.classes) == 4
    card = json.loads((bundle / "decoder" / "card.json").read_text())
    assert card["training"]["interrupted"] is True


def is_training(message: object) -> bool:
    return isinstance(message, Progress) and "epoch 3 of" in message.text


@pytest.mark.timeout(200)
def test_stop_during_training_keeps_the_best_decoder_so_far(server: Any) -> None:
    with Client(server.connection_file) as client:
        while client.status().state != "ready":
            time.sleep(0.1)
        client.start()
        assert any(is_training(fact) for fact in client.facts(timeout=60))
        client.stop("enough")
    code, printed = server.wait()
    assert code == 0, printed
    folder = Path(printed.split("finished: ")[1].splitlines()[0])
    check_bundle(folder)
    assert "enough" in (folder / "journal.jsonl").read_text()


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("fate", ["stopped at once", "killed"])
def test_a_training_without_a_result_ends_in_words(server: Any, fate: str) -> None:
    with Client(server.connection_file) as client:
        while client.status().state != "ready":
            time.sleep(0.1)
        client.start()
        while client.status().state != "training":
            time.sleep(0.05)
        folder = Path(client.status().folder)
        if fate == "killed":
            trainer = rf"phosphene.shell trainer .*family-{folder.parent.name}-{folder.name}-"
            while subprocess.run(["pkill", "-KILL", "-f", trainer], check=False).returncode:
                time.sleep(0.05)
        else:
            client.stop("never mind")
    _, printed = server.wait()
    assert "Traceback" not in printed
    journal = (folder / "journal.jsonl").read_text()
    if fate == "killed":
        assert "trainer: the process was killed by signal 9" in journal
    else:
        assert '"state":"finished"' in journal
        assert "never mind" in journal


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.timeout(200)
def test_ctrl_c_during_phosphene_train_keeps_the_best_decoder_so_far(session_file: Path) -> None:
    text = session_file.read_text().replace("[record, train]", "[record]")
    session_file.write_text(text.replace("clock: real", "clock: virtual"))
    command = [sys.executable, "-m", "phosphene"]
    done = subprocess.run(
        [*command, "run", str(session_file), "--subject", "01", "--session", "01"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    session = session_file.parent / "study" / "sourcedata" / "sub-01" / "ses-01"
    training = [*command, "train", str(session)]
    with subprocess.Popen(training, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        while cpu_seconds(running.pid) < 12:  # Loading the libraries takes a few.
            time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 0, out
    assert b"bundle: " in out
    check_bundle(session)
