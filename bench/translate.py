"""How long a translation takes and how much memory it needs, step by step, and how both grow with the number of slices.

    python bench/translate.py [--model demo] [--slices 16,64,256] [--threads 2] [--repeat 3] [--json FILE]

Each size runs in a process of its own (so that peak memory is that size's): a phantom is written as a DICOM series, read, translated
and written back as a derived Secondary Capture series. Medians over the repetitions; the first translation includes warm-up.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(slices: int, model: str, threads: int, repeat: int) -> dict[str, float]:
    """Medians of the seconds of each step, in this process."""
    import torch

    torch.set_num_threads(threads)
    from dicom_node.derive.info import DerivationInfo
    from dicom_node.derive.series import write_derived_series
    from s2ldm_core import Translator, read_volume

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        subprocess.run([sys.executable, __file__, "--make", str(slices), str(source)], check=True)
        began = time.perf_counter()
        translator = Translator.load(model, device="cpu")
        load = time.perf_counter() - began
        runs: list[dict[str, float]] = []
        for number in range(repeat):
            began = time.perf_counter()
            volume = read_volume(source)
            seconds = {"read": time.perf_counter() - began}
            result = translator.translate(volume, phase="arterial")
            seconds |= result.translation.seconds
            began = time.perf_counter()
            info = DerivationInfo(translation=result.translation, route="BENCH")
            sources = [s.path for s in volume.slices if s.path is not None]
            write_derived_series(sources, result.volume.hu, info=info, folder=Path(folder, f"out{number}"))
            seconds["write"] = time.perf_counter() - began
            runs.append(seconds)
        median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        median["total"] = statistics.median(sum(run.values()) for run in runs)
        median["load"] = load
        median["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return median


def make(slices: int, folder: Path) -> None:
    """A phantom of 512×512 pixels of 0.78 mm and 2.5 mm slices as DICOM, in a process of its own."""
    from s2ldm_core.phantom import Phantom
    from s2ldm_core.phantom.dicom import write_series

    write_series(
        Phantom(seed=100_000, matrix=(512, 512), slices=slices, spacing_mm=(2.5, 0.78, 0.78)), folder, phase="native"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--slices", default="16,64,256")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(int(options.make[0]), Path(options.make[1]))
        return
    if options.one:
        print(json.dumps(measure(options.one, options.model, options.threads, options.repeat)))
        return
    results = {}
    for slices in [int(n) for n in options.slices.split(",")]:
        command = [sys.executable, __file__, "--one", str(slices), "--model", options.model]
        command += ["--threads", str(options.threads), "--repeat", str(options.repeat)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results[slices] = json.loads(done.stdout.splitlines()[-1])
    names = list(dict.fromkeys(name for result in results.values() for name in result))
    print(
        f"512×512, model {options.model}, {options.threads} threads, median of {options.repeat}; seconds (peak_gib: GiB)"
    )
    print("| step | " + " | ".join(f"{n} slices" for n in results) + " |")
    print("|---" * (1 + len(results)) + "|")
    for name in names:
        print(f"| {name} | " + " | ".join(f"{result.get(name, 0.0):.2f}" for result in results.values()) + " |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
