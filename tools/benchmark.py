"""``gcnpose benchmark`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["benchmark", *sys.argv[1:]]))
