"""The settings of a generator on another machine: what cannot work is refused in words."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from phosphene.cli import app
from phosphene.closed_loop import checked_endpoint
from phosphene.errors import SettingsError
from phosphene.registry import load_registry
from phosphene.settings import load_settings

SESSION = "format: 1\nextends: demo\nclock: real\nworker:\n"
FOLDER = "{stable-diffusion: {model: /sd, lora: LORA}}"


@pytest.mark.parametrize(
    "address",
    ["tcp://192.168.0.2:5700", "tcp://0.0.0.0:1", "tcp://*:65535", "tcp://lab-pc.local:5700"],
)
def test_an_address_with_a_port_is_taken_as_it_is(address: str) -> None:
    assert checked_endpoint(address) == address


WRONG = {
    "no scheme": ("192.168.0.2:5700", "expected tcp://ADDRESS:PORT, found '192.168.0.2:5700'"),
    "no port": ("tcp://192.168.0.2", "expected tcp://ADDRESS:PORT"),
    "any port": ("'tcp://192.168.0.2:*'", "expected tcp://ADDRESS:PORT"),
    "no address": ("tcp://:5700", "expected tcp://ADDRESS:PORT"),
    "port 0": ("tcp://192.168.0.2:0", "expected a port from 1 to 65535, found 0"),
    "a port too high": ("tcp://192.168.0.2:65536", "expected a port from 1 to 65535, found 65536"),
    "a byte too high": ("tcp://192.168.0.256:5700", "256"),
    "three bytes": ("tcp://192.168.0:5700", "Expected 4 octets"),
    "a number": ("5700", "expected tcp://ADDRESS:PORT, found 5700"),
}


@pytest.mark.parametrize(("address", "message"), WRONG.values(), ids=WRONG.keys())
def test_an_address_that_cannot_work_is_refused_with_its_line(
    tmp_path: Path, address: str, message: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, f"  bind: {address}\n  generator: stable-diffusion\n")
    assert "session.yaml:5: worker.bind: " in str(refused.value)
    assert message in str(refused.value)


def test_a_path_of_another_machine_is_absolute_and_need_not_exist_here(tmp_path: Path) -> None:
    section = f"  bind: tcp://10.0.0.2:5700\n  generator: {FOLDER}\n"
    load(tmp_path, section.replace("LORA", "/there/lora.safetensors"))
    for relative in ("lora.safetensors", "~/lora.safetensors"):
        with pytest.raises(SettingsError, match="a path on the worker's machine is absolute"):
            load(tmp_path, section.replace("LORA", relative))


@pytest.mark.parametrize(
    ("address", "message"),
    [("tcp://lab-pc", "expected tcp://ADDRESS:PORT"), ("tcp://0.0.0.0:5700", "every address")],
)
def test_a_worker_does_not_wait_for_an_address_that_leads_nowhere(
    address: str, message: str
) -> None:
    arguments = ["worker", "generator", "--connect", address, "--server-key", "0" * 64]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.output


def load(folder: Path, worker: str) -> None:
    file = folder / "session.yaml"
    file.write_text(SESSION + worker)
    load_settings(file, load_registry(), {"subject": "01", "session": "01"})
