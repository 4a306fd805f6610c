"""What can be asked for in a terminal?

Only typer is imported at the top, so that help comes at once. Results go to the standard
output, everything else to the error stream. Exit codes: 0 all is well, 1 an error that no
one foresaw, 2 something a person can put right, 130 interrupted.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, Self

import typer

from brainalign import cli_data

if TYPE_CHECKING:
    from brainalign.pipeline.status import TaskStatus
    from brainalign.pipeline.store import Store
    from brainalign.pipeline.study import AnyStudy as Study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The study's YAML file, or 'demo'.", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="Where the report goes, instead of what CONFIG says.")]
Keep = Annotated[Path | None, typer.Option("--store", help="Where results are kept, instead of what CONFIG says.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Another seed: other sounds, listeners and noise.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Tasks at a time. Default: one per core. Results do not depend on it."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only tell of warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell of every task, and show where an error arose.")]


def main() -> None:
    """Run the command line."""
    app(prog_name="brainalign")


def _show_version(asked: bool) -> None:
    if asked:
        from brainalign.__about__ import __version__

        typer.echo(f"brainalign {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and leave.")
    ] = False,
) -> None:
    """From the inside of an audio model to the EEG of its listeners.

    New here? Run 'brainalign demo --quick'. It needs no data and no network.
    """


@app.command(epilog="Example: brainalign demo --quick")
def demo(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller study, done in about half a minute.")] = False,
    seed: Seed = None,
    out: Annotated[Path, typer.Option("--out", help="Where the report goes.")] = Path("runs/demo"),
    store: Annotated[
        Path | None, typer.Option("--store", help="Where results are kept. Default: beside the report.")
    ] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a whole study on made-up speech and simulated listeners.

    The brain responses are planted, so the report can be checked against the truth.
    Stopped half-way? The same command goes on where it stopped.
    """
    with _Guard(verbose=verbose) as guard:
        from brainalign.pipeline.study import demo_config

        guard.out = out
        _run(demo_config(quick), _overrides(out=out, store=store, seed=seed), guard=guard, jobs=jobs, quiet=quiet)


@app.command(epilog="Example: brainalign run study.yaml --jobs 4")
def run(
    config: Config,
    *,
    out: Out = None,
    store: Keep = None,
    seed: Seed = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make all results of a study, then its report.

    What was made before and still holds is kept; only what has changed is made again.
    Stopped half-way? The same command goes on where it stopped.
    """
    with _Guard(verbose=verbose) as guard:
        _run(config, _overrides(out=out, store=store, seed=seed), guard=guard, jobs=jobs, quiet=quiet)


@app.command(epilog="Example: brainalign status study.yaml --all")
def status(
    config: Config,
    *,
    out: Out = None,
    store: Keep = None,
    seed: Seed = None,
    all_tasks: Annotated[bool, typer.Option("--all", help="Also list the tasks that are done.")] = False,
    verify: Annotated[bool, typer.Option(help="Check that kept results are undamaged (reads all of them).")] = True,
    verbose: Verbose = False,
) -> None:
    """Tell which results are done, missing, stale or damaged, and why.

    Nothing is made or changed.
    """
    with _Guard(verbose=verbose):
        from brainalign.pipeline.status import State
        from brainalign.pipeline.status import status as look
        from brainalign.pipeline.store import Store

        study = _load(config, _overrides(out=out, store=store, seed=seed))
        found = look(study.plan, Store(study.store_folder), verify=verify)
        listed = [item for item in found if all_tasks or item.state is not State.DONE]
        counts = {state: sum(item.state is state for item in found) for state in State}
        typer.echo(f"study {study.name}: {len(found)} tasks, kept in {study.store_folder}")
        for line in _table([(item.state, item.task, item.reason) for item in listed]):
            typer.echo(line)
        typer.echo(", ".join(f"{count} {state}" for state, count in counts.items() if count))
        if counts[State.DONE] < len(found):
            typer.echo(f"to make what is not done: brainalign run {config}")


@app.command(epilog="Example: brainalign report study.yaml --out talk")
def report(config: Config, *, out: Out = None, store: Keep = None, seed: Seed = None, verbose: Verbose = False) -> None:
    """Write the report of a finished study again, from its kept results."""
    with _Guard(verbose=verbose) as guard:
        from brainalign.pipeline.status import State
        from brainalign.pipeline.status import status as look
        from brainalign.pipeline.store import Store

        study = _load(config, _overrides(out=out, store=store, seed=seed))
        guard.out = study.out_folder
        kept = Store(study.store_folder)
        left = [item for item in look(study.plan, kept, verify=False) if item.state is not State.DONE]
        if left:
            _refuse_unfinished(left, n_tasks=len(study.plan), config=config)
        _write_outputs(study, kept, quiet=False)


@app.command(epilog="Example: brainalign quality study.yaml --show 20")
def quality(
    config: Config,
    *,
    show: Annotated[int, typer.Option("--show", min=0, help="How many recordings to draw, the worst first.")] = 12,
    out: Out = None,
    store: Keep = None,
    seed: Seed = None,
    jobs: Jobs = None,
    verbose: Verbose = False,
) -> None:
    """Read, clean and judge the recordings of a study.

    Writes a page of them. Nothing is fitted, and what is made here is kept for the run.
    """
    with _Guard(verbose=verbose) as guard:
        from brainalign.pipeline.execute import execute
        from brainalign.pipeline.log import make_log
        from brainalign.pipeline.quality_page import recordings_plan, require_recordings, write_quality
        from brainalign.pipeline.store import Store

        study = require_recordings(_load(config, _overrides(out=out, store=store, seed=seed)))
        plan, kept, guard.out = recordings_plan(study), Store(study.store_folder), study.out_folder
        with make_log(quiet=False, verbose=verbose) as log:
            execute(plan, kept, n_jobs=jobs, log=log)
        typer.echo(f"page: {write_quality(study, kept, show=show)}")


@app.command(epilog="Example: brainalign selftest study.yaml --fakes 100")
def selftest(
    config: Config,
    *,
    fakes: Annotated[int, typer.Option("--fakes", min=5, help="Data sets per way of breaking the bond.")] = 40,
    features: Annotated[int, typer.Option("--features", min=1, help="Features tested in each, drawn anew.")] = 8,
    store: Keep = None,
    seed: Seed = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Try the study's test where there is nothing to find.

    The study's own recordings stand beside sounds that were not playing; how often something is found is set
    against how often it may be.
    Ends with code 1 if that is too often; slow drifts in the recordings are the usual reason.
    """
    with _Guard(verbose=verbose):
        from brainalign.pipeline.execute import execute
        from brainalign.pipeline.log import make_log
        from brainalign.pipeline.selftest import lines, outcomes, selftest_plan
        from brainalign.pipeline.store import Store

        study = _load(config, _overrides(store=store, seed=seed))
        plan, kept = selftest_plan(study, n_fakes=fakes, n_features=features), Store(study.store_folder)
        with make_log(quiet=quiet, verbose=verbose) as log:
            execute(plan, kept, n_jobs=jobs, log=log)
        found = outcomes(plan, kept)
        for line in lines(found):
            typer.echo(line)
        if not all(outcome.holds for outcome in found):
            raise typer.Exit(1)


@app.command(epilog="Example: brainalign doctor --store /data/store")
def doctor(
    *,
    store: Annotated[Path, typer.Option("--store", help="Where results are to be kept.")] = Path("runs/demo/store"),
    verbose: Verbose = False,
) -> None:
    """Check that this machine is fit for the work.

    Where it is not, what helps is told. Ends with code 1 if a check fails.
    """
    with _Guard(verbose=verbose):
        from brainalign.pipeline.doctor import Verdict, facts

        checks = facts(store)
        for line in _table([(check.verdict, check.name, check.found) for check in checks]):
            typer.echo(line)
        for check in checks:
            if check.fix:
                typer.echo(f"{check.verdict}: {check.name}: {check.fix}")
        if any(check.verdict is Verdict.FAIL for check in checks):
            raise typer.Exit(1)


def _run(config: Path, overrides: dict[str, object], *, guard: _Guard, jobs: int | None, quiet: bool) -> None:
    from brainalign.pipeline.execute import execute
    from brainalign.pipeline.log import make_log
    from brainalign.pipeline.store import Store

    study = _load(config, overrides)
    guard.out = study.out_folder
    store = Store(study.store_folder)
    with make_log(quiet=quiet, verbose=guard.verbose) as log:
        ended = execute(study.plan, store, n_jobs=jobs, log=log)
    _write_outputs(study, store, quiet=quiet, seconds=ended.seconds if ended.made else None)


def _load(config: Path, overrides: dict[str, object]) -> Study:
    from brainalign.pipeline.study import load_study

    return load_study(config, overrides)


def _overrides(**given: object) -> dict[str, object]:
    """Keep only what the user gave."""
    return {name: value for name, value in given.items() if value is not None}


def _write_outputs(study: Study, store: Store, *, quiet: bool, seconds: float | None = None) -> None:
    from brainalign.pipeline.study import write_outputs

    summary = write_outputs(study, store, seconds=seconds)
    if quiet:
        return
    for line in summary.get("headline", ()):
        typer.echo(line)
    typer.echo(f"report: {study.out_folder / 'report.html'}")
    typer.echo(f"numbers: {study.out_folder / 'summary.json'}")


def _refuse_unfinished(left: list[TaskStatus], *, n_tasks: int, config: Path) -> NoReturn:
    from brainalign.core.errors import MissingFile

    raise MissingFile(
        "the study is not finished",
        got=f"{len(left)} of {n_tasks} tasks are not done, the first is {left[0].task} ({left[0].reason})",
        fix=f"brainalign run {config}",
    )


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    """Align the columns; plain text, whatever it is written to."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows]


class _Guard:
    """Turn what goes wrong in a command into a message and an exit code.

    Attributes
    ----------
    out
        Where the log of an unforeseen error goes, once that is known.
    """

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.out: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if error is None or isinstance(error, (typer.Exit, SystemExit, GeneratorExit)):
            return False
        if isinstance(error, KeyboardInterrupt):
            typer.echo("\ninterrupted; what is done is kept: run the same command again to go on", err=True)
            raise typer.Exit(130)
        raise typer.Exit(self._tell(error)) from error

    def _tell(self, error: BaseException) -> int:
        from brainalign.core.errors import BrainalignError
        from brainalign.pipeline.execute import TaskFailed

        if isinstance(error, BrainalignError) and not isinstance(error, TaskFailed):
            _complain(str(error))
            return 2
        text = error.trace if isinstance(error, TaskFailed) else ""
        text = text or "".join(traceback.format_exception(error))
        if isinstance(error, TaskFailed):
            _complain(str(error))
        else:
            _complain(f"this was not foreseen: {type(error).__name__}: {error}")
        if self.verbose:
            typer.echo(text, err=True)
        self._keep(text)
        return 1

    def _keep(self, text: str) -> None:
        """Write the traceback where the report would be; without such a place, say how to see it."""
        try:
            if self.out is None:
                raise FileNotFoundError
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "error.log").write_text(text, encoding="utf-8")
            typer.echo(f"the traceback is in {self.out / 'error.log'}", err=True)
        except OSError:
            if not self.verbose:
                typer.echo("run the same command with --verbose to see the traceback", err=True)


def _complain(text: str) -> None:
    typer.echo(typer.style("error: ", fg="red", bold=True) + text, err=True)


cli_data.register(app, guard=_Guard)
