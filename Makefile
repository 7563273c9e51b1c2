# Two commands: `make demo` and `make test`. Both install what they need into .venv first.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export LSLAPICFG := $(CURDIR)/tests/lsl_api.cfg

.PHONY: demo test lint benchmark benchmark-generation scaling proof clean

demo: $(VENV)/networks
	$(BIN)/phosphene demo

# One thread a process: the processes of a session share the cores.
test: export OMP_NUM_THREADS := 1
test: system-packages $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

# What takes most of a minute a test, and is not part of `make test`.
.PHONY: slow
slow: export OMP_NUM_THREADS := 1
slow: system-packages $(VENV)/dev
	$(BIN)/pytest -m slow

benchmark: $(VENV)/core
	$(BIN)/python benchmarks/session.py

# How decodable the presets of the simulated subject are: a quarter of an hour on one core.
.PHONY: calibration
calibration: export OMP_NUM_THREADS := 1
calibration: $(VENV)/core
	$(BIN)/python benchmarks/calibration.py --write

# Pictures: latency beside plain diffusers, where there is a GPU.
benchmark-generation: $(VENV)/dev
	$(BIN)/python benchmarks/generation.py

# Evaluation: time against workers and work.
scaling: $(VENV)/dev
	$(BIN)/python benchmarks/scaling.py

# What each audit says of each simulated subject under each design, many seeds a cell: about an hour.
proof: $(VENV)/dev
	$(BIN)/python benchmarks/proof.py --write

# The core, enough for the demo.
$(VENV)/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

# And with networks.
$(VENV)/networks: $(VENV)/core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch]'
	touch $@

# Everything the tests use: amplifier, screen, validators.
$(VENV)/dev: $(VENV)/core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[lsl,brainflow,screen,clip,riemann,braindecode,diffusion,parallel]' --group dev
	touch $@

# A screen that is not there and the libraries that draw on it; elsewhere than on Debian, or
# without root, the tests that need them are skipped and say so.
DEBIAN_PACKAGES := python3-venv xvfb xauth libgl1 libgl1-mesa-dri libglu1-mesa

.PHONY: system-packages
system-packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  ! dpkg -s $(DEBIAN_PACKAGES) >/dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null; \
	fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The README's picture, from the newest demo.
.PHONY: picture
picture: $(VENV)/core
	$(BIN)/python docs/images/make_loop.py demo-data

# Every fault that a session must survive, on real processes, 200 kills among them: half an hour.
.PHONY: faults
faults: export OMP_NUM_THREADS := 1
faults: system-packages $(VENV)/dev
	$(BIN)/python tests/faults/suite.py

# Eight hours of a session in accelerated time, memory watched: a quarter to half an hour.
.PHONY: soak
soak: export OMP_NUM_THREADS := 1
soak: $(VENV)/core
	$(BIN)/python tests/faults/soak.py

# Acquisition beside mne-lsl, pylsl, scipy and h5py: two minutes, on a quiet machine.
.PHONY: benchmark-acquisition
benchmark-acquisition: export OMP_NUM_THREADS := 1
benchmark-acquisition: $(VENV)/dev
	$(BIN)/python benchmarks/acquisition.py
