"""``gcnpose prepare_data`` from a checkout."""

import sys

from gcnpose.cli import main

sys.exit(main(["prepare_data", *sys.argv[1:]]))
