"""The commands. ``gcnpose VERB ...`` and ``python tools/VERB.py ...`` are the same program."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gcnpose.errors import InputError, RunError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit status: 0, 1 for a run that failed, 2 for unusable input."""
    parser = argparse.ArgumentParser(
        prog="gcnpose", description="Lifts 2D human keypoint sequences to 3D with UGCN."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_train, _add_evaluate, _add_draw, _add_benchmark, _add_ui):
        add(commands)
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = commands.choices.get(given[0]) if given else None
    # Only a command's own parser lets options stand between arguments: `RUN --output a.json data.path=b.npz`.
    options = command.parse_intermixed_args(given[1:]) if command else parser.parse_args(given)
    try:
        options.run(options)
    except (InputError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        print(f"gcnpose: {error}", file=sys.stderr)
        return 2
    except (RunError, OSError) as error:
        print(f"gcnpose: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gcnpose: interrupted", file=sys.stderr)
        return 1
    return 0


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("train", help="train a network and score it on the test subjects")
    parser.add_argument(
        "config", nargs="?", help="experiment file, or the name of one that comes with gcnpose"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes to it, such as train.epochs=2"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="continue a run folder, the newest in runs/ if none is named",
    )
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from gcnpose.config import load_config
    from gcnpose.run import CONFIG, LAST, newest_run, resume, train

    if options.resume is not None:
        if options.config:
            raise InputError(
                "--resume takes a run folder and nothing else: a run goes on with the config it began with"
            )
        resume(Path(options.resume) if options.resume else newest_run("runs", LAST, CONFIG), _say)
    elif options.config is None:
        raise InputError("train needs an experiment file, such as configs/ugcn.yaml, or --resume")
    else:
        train(load_config(options.config, options.overrides), _say)


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("evaluate", help="score a checkpoint")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="CHECKPOINT key=value",
        help="checkpoint or run folder, the newest run if none; then changes such as data.path=motion.npz",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.json", help="write the report here, and a .csv beside it"
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from gcnpose.evaluation import write_report
    from gcnpose.run import BEST, evaluate_checkpoint, newest_run

    given, overrides = options.arguments[:1], options.arguments[1:]
    if not given or ("=" in given[0] and not Path(given[0]).exists()):
        given, overrides = [str(newest_run("runs", BEST))], options.arguments
    path = Path(given[0])
    if options.output:
        _check_output(options.output, ".json")
    report = evaluate_checkpoint(path / BEST if path.is_dir() else path, overrides, _say)
    if options.output:
        write_report(report, options.output)


def _add_draw(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("draw", help="draw a skeleton graph, or the paper's Figure 1, as a PNG")
    parser.add_argument("what", choices=("graph", "pendulum"))
    parser.add_argument("name", nargs="?", default="h36m17", help="graph: name or file of the skeleton")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.png")
    parser.set_defaults(run=_draw)


def _draw(options: argparse.Namespace) -> None:
    from gcnpose.skeleton import Skeleton
    from gcnpose.viz.graph import draw_graph
    from gcnpose.viz.pendulum import draw_pendulum

    if options.what == "graph":
        draw_graph(Skeleton.load(options.name), options.output)
    else:
        draw_pendulum(options.output)


def _add_benchmark(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "benchmark", help="time a training step against the usual way of writing the network"
    )
    parser.add_argument("what", choices=("layer", "step"))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.set_defaults(run=_benchmark)


def _benchmark(options: argparse.Namespace) -> None:
    from gcnpose.benchmark import time_layer, time_step

    if min(options.batch_size, options.frames, options.repeats) < 1:
        raise InputError("benchmark: --batch-size, --frames and --repeats must be at least 1")
    time_what = {"layer": time_layer, "step": time_step}[options.what]
    _say(time_what(options.batch_size, options.frames, options.repeats, options.precision))


def _add_ui(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("ui", help="open MLflow on the runs of this folder")
    parser.add_argument("--port", type=int, default=5000)
    parser.set_defaults(run=_ui)


def _ui(options: argparse.Namespace) -> None:
    from gcnpose.config import TrackingConfig
    from gcnpose.tracking import serve_ui

    serve_ui(TrackingConfig(), options.port)


def _check_output(path: Path, suffix: str) -> None:
    """Finds out before any work whether its result can be written."""
    if path.suffix != suffix or path.is_dir():
        raise InputError(f"--output: expected a file name that ends in {suffix}, not {path}")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"--output: nothing can be written in {path.parent}: {error.strerror}") from error


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
