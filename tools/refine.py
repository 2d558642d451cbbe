"""``gcnpose refine`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["refine", *sys.argv[1:]]))
