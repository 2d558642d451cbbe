"""``gcnpose train``: trains a network and scores it."""

from __future__ import annotations

import argparse

from gcnpose.commands.common import Commands, add_tag_option, path_and_overrides, say, tags_of
from gcnpose.errors import InputError


def add(commands: Commands) -> None:
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
        help="continue a run folder, the newest in runs/ if none is named; "
        "then key=value may say where things are now, such as data.path=motion.npz",
    )
    add_tag_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.config import load_config
    from gcnpose.processes import joined
    from gcnpose.run import CONFIG, LAST, newest_run, resume, train

    tags = tags_of(options)
    with joined() as processes:
        if options.resume is not None:
            named, taken = path_and_overrides([*filter(None, (options.resume,))])
            overrides = [*taken, *filter(None, (options.config,)), *options.overrides]
            if overrides and "=" not in overrides[0]:
                raise InputError(
                    "--resume takes a run folder and no config: a run goes on with the one it began with"
                )
            folder = named or processes.of_first(lambda: newest_run("runs", LAST, CONFIG))
            resume(folder, say, tags, processes, overrides)
        elif options.config is None:
            raise InputError("train needs an experiment file, such as configs/ugcn.yaml, or --resume")
        else:
            train(load_config(options.config, options.overrides), say, tags, processes)
