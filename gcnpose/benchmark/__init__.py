"""Timings beside the usual ways of writing the same thing, as ratios within one run."""

from gcnpose.benchmark.references import PyGUGCN, UsualUGCN

__all__ = ["PyGUGCN", "UsualUGCN"]
