"""Runs in MLflow, which is imported only where a run is tracked: without tracking it need not be installed.

What MLflow cannot take, because the server is down or the disk full, costs the run one warning and no result.
"""

from gcnpose.tracking.origin import environment
from gcnpose.tracking.pages import photograph_comparison, serve_ui
from gcnpose.tracking.store import shared_run
from gcnpose.tracking.tracker import Tracker

__all__ = ["Tracker", "environment", "photograph_comparison", "serve_ui", "shared_run"]
