"""Any LSL tool can record the onsets, each stamped with its own time."""

import subprocess
import sys
from importlib.util import find_spec

import msgspec
import pytest

from phosphene import Onset
from phosphene_paradigms import markers

LOOP = """
import sys
import msgspec, pylsl
from phosphene import Onset
from phosphene_paradigms.markers import open_markers
onsets = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Onset])
markers = open_markers()
(info,) = pylsl.resolve_byprop("name", "Phosphene markers", timeout=20)
inlet = pylsl.StreamInlet(info)
inlet.open_stream(20)
for onset in onsets:
    markers.push(onset)
pulled = [inlet.pull_sample(20) for _ in onsets]
about = [info.type(), info.channel_count(), info.nominal_srate(), info.source_id()]
sys.stdout.buffer.write(msgspec.json.encode([about, [(t, text) for (text,), t in pulled]]))
"""
"""An outlet and an inlet in a process of their own, so that LSL leaves nothing behind."""

ONSET = Onset(
    seq=0,
    event="stimulus",
    time=1234.5678,
    planned=1234.5,
    duration=0.5,
    phase="record",
    run=1,
    block=2,
    attempt=1,
    trial=1,
    wnid="n00000001",
    image="cat é.png",
    sha256="ab",
)


@pytest.mark.skipif(find_spec("pylsl") is None, reason="pylsl is not installed")
def test_an_inlet_receives_every_onset_with_its_time() -> None:
    onsets = [ONSET, msgspec.structs.replace(ONSET, seq=1, trial=2, time=1235.0678)]
    done = subprocess.run(
        [sys.executable, "-c", LOOP],
        input=msgspec.json.encode(onsets),
        capture_output=True,
        check=True,
        timeout=60,
    )
    about, received = msgspec.json.decode(done.stdout)
    assert about[:3] == ["Markers", 1, 0.0]
    assert about[3].startswith("phosphene-markers-")
    assert [time for time, _ in received] == pytest.approx([onset.time for onset in onsets])
    assert [msgspec.json.decode(text, type=Onset) for _, text in received] == onsets


def test_without_lsl_there_are_no_markers_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    assert markers.open_markers() is None
    assert "no LSL markers" in caplog.text
