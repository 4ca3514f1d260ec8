"""``s2ldm-train``: pairs, training, evaluation, export."""

import typer
from rich.console import Console

from s2ldm_core.problem import ProblemError
from train.commands.ablate import ablate
from train.commands.average import average
from train.commands.distill import distill
from train.commands.ensemble import ensemble
from train.commands.evaluate import evaluate
from train.commands.export import export
from train.commands.fit import fit
from train.commands.phantom import phantom
from train.commands.plan import plan
from train.commands.planes import planes
from train.commands.plausibility import plausibility
from train.commands.prepare import prepare
from train.commands.reader_study import reader_study
from train.commands.scan_times import scan_times
from train.commands.spread import spread
from train.commands.systems import systems
from train.commands.table1 import table1
from train.commands.times import times

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train, evaluate and package the models of the node.",
)
for command in (
    prepare,
    phantom,
    plan,
    fit,
    evaluate,
    plausibility,
    planes,
    export,
    average,
    distill,
    ensemble,
    spread,
    times,
    scan_times,
    ablate,
    table1,
    systems,
):
    app.command()(command)
app.add_typer(reader_study, name="reader-study")


def main() -> None:
    """Exit code 0 done, 1 failed, 2 wrong use; errors go to stderr, one line first."""
    try:
        app()
    except ProblemError as error:
        console = Console(stderr=True)
        console.print(error.sentence, style="bold red", soft_wrap=True, markup=False)
        if error.remedy:
            console.print(error.remedy, soft_wrap=True, markup=False)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
