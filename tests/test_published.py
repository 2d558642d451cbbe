"""The published results, against what is known of the paper's tables from elsewhere."""

import pytest

from gcnpose.protocols import H36M_COLUMNS, PROTOCOLS
from gcnpose.published import PublishedRow, published_rows

H36M = published_rows("Human3.6M")
ACTIONS = list(H36M_COLUMNS)


def row(table: str, method: str) -> PublishedRow:
    (found,) = [row for row in H36M if (row.table, row.method) == (table, method)]
    return found


def test_where_the_rows_stand() -> None:
    tables = {(entry.table, entry.keypoints) for entry in H36M}
    assert tables == {
        ("Table 6", "detected 2D"),
        ("Table 7", "ground-truth 2D"),
        ("Table 8", "detected 2D"),
        ("Table 8", "ground-truth 2D"),
    }
    assert {(entry.table, entry.keypoints) for entry in published_rows("MPI-INF-3DHP")} == {
        ("Table 9", "ground-truth 2D")
    }


def test_actions_are_those_of_the_protocol() -> None:
    for entry in H36M:
        for metric in {metric for metric, _ in entry.values}:
            actions = [action for of_metric, action in entry.values if of_metric == metric]
            assert actions in ([*ACTIONS, "Average"], ["Average"]), entry


def test_every_metric_is_one_of_a_protocol() -> None:
    for dataset in ("Human3.6M", "MPI-INF-3DHP"):
        (protocol,) = [protocol for protocol in PROTOCOLS.values() if protocol.dataset == dataset]
        metrics = {metric for entry in published_rows(dataset) for metric, _ in entry.values}
        assert metrics == set(protocol.metrics)


@pytest.mark.parametrize(
    ("table", "method", "metric", "value"),
    [
        ("Table 6", "UGCN (CPN)", "mpjpe_mm", 45.6),
        ("Table 6", "UGCN (CPN)", "p_mpjpe_mm", 35.5),
        ("Table 6", "UGCN (HR-Net)", "mpjpe_mm", 42.6),
        ("Table 6", "Pavllo [27]", "mpjpe_mm", 46.8),  # VideoPose3D's README
        ("Table 6", "Pavllo [27]", "p_mpjpe_mm", 36.5),  # likewise
        ("Table 7", "Pavllo [27]", "mpjpe_mm", 37.2),  # likewise
        ("Table 7", "UGCN", "mpjpe_mm", 25.6),
        ("Table 8", "UGCN (GT)", "mpjve_mm", 1.4),
        ("Table 8", "UGCN (CPN)", "mpjve_mm", 2.3),
    ],
)
def test_averages_that_are_known_from_elsewhere(table: str, method: str, metric: str, value: float) -> None:
    assert row(table, method).values[metric, "Average"] == value


def test_averages_are_near_those_of_the_actions() -> None:
    """A column that slipped would show. As printed, some are weighted otherwise, by up to 0.6 mm."""
    compared = 0
    for entry in H36M:
        for metric in dict.fromkeys(metric for metric, _ in entry.values):
            values = [entry.values[metric, action] for action in ACTIONS if (metric, action) in entry.values]
            if values:
                assert sum(values) / 15 == pytest.approx(entry.values[metric, "Average"], abs=0.6), entry
                compared += 1
    assert compared == 44


def test_columns_stand_in_the_papers_order() -> None:
    headings = "Dir. Disc. Eat. Greet Phone Photo Pose Purch. Sit SitD. Smoke Wait WalkD. Walk WalkT."
    assert " ".join(H36M_COLUMNS.values()) == headings
