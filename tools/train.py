"""``gcnpose train`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
