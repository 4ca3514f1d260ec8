"""``python -m train.regions DATA``: fit the region classifier, and test it on real series with their patient left out."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from safetensors.numpy import save_file

from s2ldm_core.regions.classifier import BUNDLED
from train.regions.dataset import arrays, gather
from train.regions.evaluation import leave_out, table
from train.regions.fit import fit
from train.regions.real import real_series


def main(
    data: Annotated[Path, typer.Argument(help="Folder with the real CT data.")],
    output: Annotated[Path, typer.Option(help="Where the classifier goes.")] = BUNDLED,
    test: Annotated[bool, typer.Option(help="Also test, leaving each patient out.")] = True,
) -> None:
    """Make bodies, read the real series, fit, and print the table of the test."""
    torch.set_num_threads(1)  # so that sums come in the same order everywhere
    console = Console(stderr=True)
    with console.status("features"):
        slices = gather(data)
    with console.status("fitting"):
        save_file({name: array.astype("float32") for name, array in vars(fit(*arrays(slices))).items()}, output)
    console.print(f"{sum(len(one.regions) for one in slices)} slices: {output}", markup=False)
    if test:
        tests = [*real_series(data), *real_series(data, use="test")]
        with console.status("testing"):
            Console().print(table(leave_out(tests, slices, fit)), markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
