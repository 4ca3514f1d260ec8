"""Whether a GPU answers as the processors do, what it does where its memory is short, and what it takes.

    python -m bench.device [--device cuda] [--model demo] [--slices 64 200 400] [--json device.json]        (make gpu)

On a phantom of 512×512 pixels of 0.78 mm and at most 64 slices of 2.5 mm; more slices are these, up and down:

1. **Agreement**: the volume with the fewest slices on the processors and on the device, in float32 with and without TF32, which PyTorch
   uses in convolutions on NVIDIA GPUs unless told otherwise. The largest difference must be within `LARGEST_HU`.
2. **Short of memory**: the process may hold a part of the GPU's memory, less each time, until the usual tiles do not fit; the answer in
   smaller ones must agree as well.
3. **Cost**: seconds of a translation without reading and writing, the second of two, and peak of the memory that PyTorch holds there.

It ends with exit code 1 where something does not agree. ``--device cpu`` rehearses it where there is no GPU: 1 and 2 then say nothing.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s2ldm_core.memory import release_memory
from s2ldm_core.phantom import Phantom
from s2ldm_core.tiling import TILE
from s2ldm_core.translator import Translator
from s2ldm_core.volume import Volume

LARGEST_HU = {"float32": 0.5, "TF32": 3.0}
_PARTS = tuple(0.5 * 0.7**k for k in range(16))
"""Of the GPU's memory, one after the other: half of it to a four-hundredth."""
_TALLEST = 64


def volume(slices: int) -> Volume:
    """A native phantom, one after the other with every second one upside down: making it taller takes minutes, and no other time to
    translate."""
    phantom = Phantom(100_000, matrix=(512, 512), slices=min(slices, _TALLEST), spacing_mm=(2.5, 0.78, 0.78))
    hu = phantom.hu("native")
    there_and_back = np.concatenate([hu, hu[::-1]])
    repeated = np.concatenate([there_and_back] * -(-slices // len(there_and_back)))
    return Volume(hu=np.ascontiguousarray(repeated[:slices]), affine=phantom.affine)


def with_tf32(wanted: bool) -> None:
    torch.backends.cudnn.allow_tf32 = wanted
    torch.backends.cuda.matmul.allow_tf32 = wanted


def agreement(translator: Translator, source: Volume, *, phase: str, truth: np.ndarray) -> dict[str, float]:
    """Largest difference from ``truth``, HU, by the kind of arithmetic."""
    found = {}
    for name, tf32 in (("float32", False), ("TF32", True)):
        with_tf32(tf32)
        found[name] = float(np.abs(translator.translate(source, phase=phase).volume.hu - truth).max())
    return found


def short_of_memory(translator: Translator, source: Volume, *, phase: str, truth: np.ndarray) -> list[dict[str, Any]]:
    """Tile and largest difference, or that nothing fits, for each part of the GPU's memory until the tiles are smaller."""
    with_tf32(False)
    number = torch.cuda.current_device() if translator.device.index is None else translator.device.index
    found: list[dict[str, Any]] = []
    for part in _PARTS:
        release_memory()
        torch.cuda.set_per_process_memory_fraction(part, number)
        try:
            result = translator.translate(source, phase=phase)
        except torch.OutOfMemoryError:
            found.append({"part": part, "tile": None, "difference_hu": None})
            break
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, number)
        difference = float(np.abs(result.volume.hu - truth).max())
        found.append({"part": part, "tile": result.translation.tile, "difference_hu": difference})
        if result.translation.tile != TILE:
            break
    return found


def cost(translator: Translator, source: Volume, *, phase: str) -> dict[str, Any]:
    """Seconds and peak memory, GiB, of a warm translation."""
    on_gpu = translator.device.type == "cuda"
    translator.translate(source, phase=phase)
    release_memory()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(translator.device)
    began = time.perf_counter()
    result = translator.translate(source, phase=phase)
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated(translator.device) / 2**30 if on_gpu else None
    return {"seconds": seconds, "peak_gib": peak, "steps": result.translation.seconds}


def main() -> int:
    """Measure, print, write the raw numbers; 1 where answers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--slices", type=int, nargs="+", default=[64, 200, 400])
    parser.add_argument("--json", type=Path, default=Path("device.json"))
    options = parser.parse_args()
    translator = Translator.load(options.model, device=options.device, refuse_answers=False)
    phase = translator.metadata.phases[0]
    on_gpu = translator.device.type == "cuda"
    name = torch.cuda.get_device_name(translator.device) if on_gpu else f"processors ({platform.machine()})"
    smallest = volume(min(options.slices))
    with_tf32(False)
    truth = (
        Translator.load(options.model, device="cpu", refuse_answers=False).translate(smallest, phase=phase).volume.hu
    )
    agrees = agreement(translator, smallest, phase=phase, truth=truth)
    print(
        f"{options.model} on {name}, PyTorch {torch.__version__}\nlargest difference from the processors' answer, HU:"
    )
    for kind, difference in agrees.items():
        print(f"  {kind:<8} {difference:8.4f}   (at most {LARGEST_HU[kind]:g})")
    right = all(difference <= LARGEST_HU[kind] for kind, difference in agrees.items())
    short = short_of_memory(translator, smallest, phase=phase, truth=truth) if on_gpu else []
    for one in short:
        said = "nothing fits" if one["tile"] is None else f"tile {one['tile']}, {one['difference_hu']:.4f} HU"
        print(f"  {one['part']:.2%} of the memory: {said}")
        right &= one["tile"] is None or one["difference_hu"] <= LARGEST_HU["float32"]
    print("\nslices   seconds   peak GiB")
    costs = {}
    for slices in sorted(options.slices):
        costs[slices] = cost(translator, volume(slices), phase=phase)
        peak = costs[slices]["peak_gib"]
        print(f"{slices:>6} {costs[slices]['seconds']:9.2f}   {'–' if peak is None else f'{peak:8.2f}'}")
    document = {
        "model": options.model,
        "device": name,
        "torch": torch.__version__,
        "agreement_hu": agrees,
        "short_of_memory": short,
        "costs": costs,
    }
    options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"\nraw numbers: {options.json}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
