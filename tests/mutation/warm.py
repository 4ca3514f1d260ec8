"""Runs pytest again and again on copies of the core, each in a fork of one process that has imported what they all import."""

import os
import sys

import monai.networks.nets  # noqa: F401
import numpy  # noqa: F401
import pydantic  # noqa: F401
import pytest
import scipy.ndimage  # noqa: F401
import torch


def _run(folder: str, root: str, tests: str) -> int:
    """Exit code of pytest on ``tests`` with the core of ``folder``."""
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", f"pythonpath={folder} {root}"]
    return int(pytest.main([*arguments, os.path.join(root, tests)]))


def main() -> None:
    """Each line of the input is ``folder<TAB>root<TAB>tests<TAB>log``; each of the output an exit code."""
    torch.set_num_threads(1)
    if any(name.split(".")[0] == "s2ldm_core" for name in sys.modules):
        raise SystemExit("the core is imported already: no copy would be tested")
    for line in sys.stdin:
        folder, root, tests, log = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            out = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os._exit(_run(folder, root, tests))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
