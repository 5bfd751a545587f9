"""What was measured on: the GPU by nvidia-smi, its clocks while it ran, and the versions of the libraries."""

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

_STILL = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.memory,ecc.mode.current"
_MOVING = "clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active"
CHIPS = {"H100 80GB HBM3": "nvidia-h100-sxm", "H200": "nvidia-h200-sxm"}
"""Catalogue names of the GPUs whose nvidia-smi name has these words."""


def query(fields: str) -> dict[str, str]:
    """Values of nvidia-smi; empty where it cannot be asked."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = done.stdout.splitlines()[0].split(",") if done.stdout.strip() else []
    return {name: value.strip() for name, value in zip(fields.split(","), values, strict=False)}


def chip_of(name: str) -> str:
    """The catalogue name of a GPU, or its own in small letters."""
    known = [chip for words, chip in CHIPS.items() if name.endswith(words)]
    return known[0] if known else "-".join(name.lower().split()) or "unknown"


class Machine:
    """Collects what there is to say, and writes it now and then."""

    EVERY_S = 5.0

    def __init__(self, path: Path) -> None:
        self.path, self.part, self.began = path, "", time.monotonic()
        self.said: dict[str, Any] = {"gpu": query(_STILL), "clocks": []}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def chip(self) -> str:
        """The catalogue name of the GPU."""
        return chip_of(self.said["gpu"].get("name", ""))

    def watch(self) -> None:
        """Note the clocks every few seconds."""
        self.thread.start()

    def write(self, **more: Any) -> None:
        """The file, as much as is known."""
        self.said |= more
        self.path.write_text(json.dumps(self.said, indent=1) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Note no more."""
        self.over.set()

    def _watch(self) -> None:
        while not self.over.wait(self.EVERY_S):
            if now := query(_MOVING):
                at = round(time.monotonic() - self.began, 1)
                self.said["clocks"].append({"s": at, "part": self.part, **now})


def versions() -> dict[str, Any]:
    """Of what the measuring process uses. Imports torch."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    try:
        import triton

        found["triton"] = triton.__version__
    except ImportError:
        pass
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "cudnn": torch.backends.cudnn.version(),
            "multiprocessors": properties.multi_processor_count,
            "l2_bytes": getattr(properties, "L2_cache_size", None),
        }
    return found
