"""Results of experiments: kept, put into tables, drawn."""

import csv
import dataclasses
import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from gcnpose.config import Config
from gcnpose.errors import InputError
from gcnpose.experiment import Column, Experiment, Row, Step, load_experiment
from gcnpose.report import format_latex, format_markdown, format_text
from gcnpose.results import (
    METRICS,
    Entry,
    Provenance,
    Result,
    dump_result,
    failure,
    insert_table,
    make_notes,
    make_tables,
    parse_result,
    read_csv,
    read_report,
    summarise,
    write_csv,
    write_tables,
)

GRID = Experiment(
    name="grid",
    title="Operators",
    base="ugcn",
    rows=(Row("cross", published=(27.1, None)), Row("inner")),
    columns=(Column("8"), Column("12")),
    rows_are="operator",
    columns_are="interval",
    metrics=("mpjpe_mm", "mpjve_mm"),
    published="the paper's Table 1",
)
LIST = dataclasses.replace(
    GRID, rows=(Row("cross", published=(27.1, None)), Row("inner", published=(30.2, None))), columns=()
)


def result(mpjpe: float | None = 50.0, **changes: Any) -> Result:
    metrics = {**dict.fromkeys(METRICS, 1.0), "mpjpe_mm": mpjpe, "mpjve_mm": 2.345}
    made = Result(
        metrics, "", "9 epochs", "100 frames", "gcnpose experiment grid", "abc", "a CPU", "2030-01-02", "d"
    )
    return dataclasses.replace(made, **changes)


FAILED = result(metrics={}, failure="the loss is not finite", scored="")


def entries(*values: tuple[str, str, int, Result]) -> list[Entry]:
    return [Entry(*value) for value in values]


FULL = entries(
    ("cross", "8", 0, result(51.04)),
    ("cross", "12", 0, result(49.96)),
    ("inner", "8", 0, result(53.0)),
    ("inner", "12", 0, FAILED),
)


# Of a step


@pytest.fixture
def step(tmp_path: Path) -> Step:
    config = Config(name="grid-cross", skeleton="h36m17", device="cpu")
    return Step("cross seed 0", "cross-seed0", tmp_path, config)


def test_a_result_is_read_back_by_the_same_step_only(step: Step) -> None:
    made = result(digest=step.digest)
    text = dump_result(made)
    assert parse_result(step, text) == made
    moved = dataclasses.replace(
        step, folder=Path("elsewhere"), config=dataclasses.replace(step.config, name="x")
    )
    assert parse_result(moved, text) == made
    for other in ({"config": dataclasses.replace(step.config, seed=1)}, {"evaluate": ("evaluation.step=1",)}):
        assert parse_result(dataclasses.replace(step, **other), text) is None
    digest = f'"digest": "{step.digest}"'
    for damaged in (text[:100], "", "{}", f"{{{digest}}}", text.replace("machine", "place")):
        assert parse_result(step, damaged) is None


@pytest.mark.parametrize(("protocol", "mean"), [("generic", 1.5), ("h36m", 2.5)])
def test_the_mean_that_the_protocol_quotes(step: Step, protocol: str, mean: float) -> None:
    report = {
        "protocol": protocol,
        "method": "windows",
        "inference": {"window": 96, "step": 20, "flip": True, "following": False, "precision": "bf16"},
        "training": {"precision": "bf16"},
        "frames": 12345,
        "keypoints_error_px": 6.5,
        "mean_over_frames": dict.fromkeys(METRICS, 1.5),
        "mean_over_actions": {**dict.fromkeys(METRICS, 2.5), "mpjve_mm": None},
    }
    (step.folder / "history.csv").write_text(
        "epoch,train/reconstruction,val/mpjpe_mm,val/mpjve_mm\n"
        "1,0.9,,\n2,0.8,70.5,4.5\n3,0.7,,\n4,0.6,60.5,5.5\n5,0.0625,61.5,3.5\n"
    )
    step.report.write_text(json.dumps(report))
    read = read_report(step, Provenance("the command", "abc", "a CPU"))
    assert read.metrics["mpjpe_mm"] == mean
    assert read.metrics["keypoints_error_px"] == 6.5
    validation = [read.metrics[f"validation_{name}"] for name in ("mpjpe_mm", "mpjve_mm")]
    assert validation == [60.5, 5.5], "of the checkpoint that is the best"
    assert read.metrics["train_mpjpe_mm"] == 62.5
    (step.folder / "history.csv").write_text("epoch,train/reconstruction\n1,0.5\n")
    assert read_report(step, Provenance("", "", "")).metrics["validation_mpjpe_mm"] is None
    assert read.metrics["mpjve_mm"] == (1.5 if protocol == "generic" else None)
    assert read.scored.startswith("12,345 frames, mean over ")
    assert read.scored.endswith(
        f"protocol {protocol}, lifted by windows of 96 frames, step 20, with flips, bf16"
    )
    schedule = "embedded motion, 110 epochs of all windows, 256 windows of 96 frames a step"
    assert read.training == f"{schedule}, bf16"
    step.report.write_text(json.dumps({**report, "training": {"precision": "fp32"}}))
    assert read_report(step, Provenance("", "", "")).training == schedule
    assert (read.command, read.commit, read.machine, read.failure) == ("the command", "abc", "a CPU", "")
    assert len(read.date) == 10


def test_provenance_names_the_machine_and_the_commit(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"cpu": "A CPU", "gpu": "A GPU", "mlflow.source.git.commit": "0123456789"}
    monkeypatch.setattr("gcnpose.results.environment", lambda: found)
    provenance = Provenance.of_this_machine("do", step.config)
    assert (provenance.commit, provenance.machine.split(",")[0]) == ("0123456", "A CPU")
    assert provenance.machine.endswith(" cores")
    auto = dataclasses.replace(step.config, device="auto")
    assert Provenance.of_this_machine("do", auto).machine == "A GPU"
    found["mlflow.source.git.dirty"] = "true"
    assert Provenance.of_this_machine("do", auto).commit == "0123456 with changes"
    assert failure(step, "why", provenance).failure == "why"


# CSV


def test_csv_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    write_csv(FULL, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mpjpe_mm"] for row in rows] == ["51.04", "49.96", "53.0", ""]
    assert rows[0]["command"] == "gcnpose experiment grid"
    assert {"commit", "machine", "date", "seed"} <= rows[0].keys()
    back = read_csv(path, GRID)
    assert back[:3] == FULL[:3]
    assert back[3].result.failure == "the loss is not finite"
    assert make_tables(GRID, back) == make_tables(GRID, FULL)


def test_csv_of_another_experiment(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    with pytest.raises(InputError, match=r"grid\.csv: no such file; the experiment writes it"):
        read_csv(path, GRID)
    write_csv(FULL, path)
    renamed = dataclasses.replace(GRID, columns=(Column("8"), Column("13")))
    with pytest.raises(InputError, match=r"grid\.csv: grid has no cell 'cross 12'$"):
        read_csv(path, renamed)
    with pytest.raises(InputError, match=r"grid has no cell 'cross 8'$"):
        read_csv(path, LIST)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"grid\.csv: damaged, or not the results of an experiment"):
        read_csv(path, GRID)


# Tables


def test_summary() -> None:
    values = (50.0, 53.0, 55.5)
    some = entries(*(("a", "", seed, result(value)) for seed, value in enumerate(values)))
    other = entries(("b", "", 0, result(7.0)), ("a", "x", 0, result(8.0)), ("a", "", 4, FAILED))
    undefined = entries(("a", "", 5, result(None)), ("a", "", 6, result(math.nan)))
    summary = summarise(some + other + undefined, "a", "", "mpjpe_mm")
    assert summary == (sum(values) / 3, pytest.approx(statistics.stdev(values)), 3)
    assert summarise(other, "b", "", "mpjpe_mm") == (7.0, 0.0, 1)
    assert math.isnan(summarise(some, "b", "", "mpjpe_mm").mean)


def test_a_grid_has_a_table_per_metric() -> None:
    mpjpe, mpjve = make_tables(GRID, FULL)
    assert mpjpe.title == "Operators: MPJPE, mm"
    assert mpjpe.header == ["operator / interval", "8", "12"]
    assert mpjpe.rows == [
        ["cross", "51.0", "50.0"],
        ["cross, published", "27.1", "-"],
        ["inner", "53.0", "failed"],
    ]
    assert mpjve.title == "Operators: MPJVE, mm per frame"
    assert mpjve.rows == [["cross", "2.35", "2.35"], ["inner", "2.35", "failed"]]


def test_a_metric_of_other_subjects_has_its_decimals() -> None:
    validation = dataclasses.replace(LIST, metrics=("validation_mpjpe_mm", "validation_mpjve_mm"))
    (table,) = make_tables(validation, entries(("inner", "", 0, result())))
    assert table.rows[1] == ["inner", "1.0", "30.2", "1.00"]


def test_a_list_has_a_column_per_metric() -> None:
    velocity = dataclasses.replace(LIST, metrics=("mpjve_mm", "mpjpe_mm"))
    assert make_tables(velocity, [])[0].rows[0] == ["cross", "-", "27.1", "-"], "as it was printed"
    (table,) = make_tables(LIST, entries(("cross", "", 0, result(51.04))))
    assert table.header == ["operator", "MPJPE, mm", "published", "MPJVE, mm per frame"]
    assert table.rows == [["cross", "51.0", "27.1", "2.35"], ["inner", "-", "30.2", "-"]]


def test_seeds_show_their_spread_and_those_that_are_missing() -> None:
    seeds = dataclasses.replace(
        LIST, seeds=(0, 1, 2), rows=(Row("cross"), Row("inner")), metrics=("mpjpe_mm",)
    )
    full = [("cross", "", seed, result(value)) for seed, value in enumerate((50.0, 51.0, 52.0))]
    part = [("inner", "", 0, result(40.0)), ("inner", "", 1, FAILED)]
    (table,) = make_tables(seeds, entries(*full, *part))
    assert table.rows == [["cross", "51.0 ± 1.0"], ["inner", "40.0 (1 of 3)"]]
    notes = make_notes(seeds, entries(*full, *part))
    assert "seed 0, 1, 2, mean ± standard deviation" in notes[0]
    more = dataclasses.replace(seeds, seeds=(0,))
    assert make_tables(more, entries(*full, *part)) == [table], "of the seeds that there are"


def test_notes_say_what_a_figure_depends_on() -> None:
    longer = [*FULL, Entry("inner", "12", 1, result(training="20 epochs"))]
    assert make_notes(dataclasses.replace(GRID, notes="More."), longer) == [
        "trained on 9 epochs; or 20 epochs; seed 0, 1, mean ± standard deviation",
        "scored: 100 frames",
        "failed: inner 12 seed 0: the loss is not finite",
        "published figures: the paper's Table 1",
        "More.",
    ]
    assert make_notes(GRID, []) == ["published figures: the paper's Table 1"]


def test_formats() -> None:
    tables, notes = make_tables(GRID, FULL), make_notes(GRID, FULL)
    markdown = format_markdown(tables, notes).splitlines()
    assert "| cross, published | 27.1 | - |" in markdown
    assert markdown[-1] == "- published figures: the paper's Table 1"
    latex = format_latex(tables, notes).splitlines()
    assert "cross & 51.0 & 50.0 \\\\" in latex
    assert latex[-1] == "% published figures: the paper's Table 1"
    text = format_text(tables, notes).splitlines()
    assert text[0] == "Operators: MPJPE, mm"


@pytest.mark.parametrize("experiment", [GRID, LIST], ids=["grid", "list"])
def test_files_of_a_table(experiment: Experiment, tmp_path: Path) -> None:
    some = FULL if experiment is GRID else entries(("cross", "", 0, result()), ("inner", "", 0, FAILED))
    files = write_tables(experiment, some, tmp_path)
    assert [file.name for file in files] == ["grid.md", "grid.tex", "grid.png"]
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert all(file.is_file() for file in files)
    nothing = [entry for entry in some if entry.result.failure]
    assert [file.name for file in write_tables(experiment, nothing, tmp_path)] == ["grid.md", "grid.tex"]


# In documents


def test_a_table_goes_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(
        "a\n<!-- one -->\n<!-- end of one -->\nb\n<!-- two -->\nold\n<!-- end of two -->\nc\n"
    )
    for _ in range(2):  # the second time changes nothing
        insert_table(document, "two", "| \\1 |\n")
        insert_table(document, "one", "| 1 |\n")
        lines = document.read_text().splitlines()
        assert lines == [
            *("a", "<!-- one -->", "| 1 |", "", "<!-- end of one -->", "b"),
            *("<!-- two -->", "| \\1 |", "", "<!-- end of two -->", "c"),
        ]
    with pytest.raises(InputError, match="expected the lines <!-- three --> and <!-- end of three --> once"):
        insert_table(document, "three", "x")


CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENT, README = CHECKOUT / "docs" / "experiments.md", CHECKOUT / "README.md"


def marks(document: Path) -> list[str]:
    return re.findall(r"^<!-- ([\w.-]+) -->$", document.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_document_has_a_place_for_every_experiment() -> None:
    shipped = {path.stem for path in (CHECKOUT / "configs" / "experiments").glob("*.yaml")}
    assert set(marks(DOCUMENT)) == shipped != set()
    assert set(marks(README)) == {"headline"}


@pytest.mark.parametrize(
    ("document", "name"),
    [(document, name) for document in (DOCUMENT, README) for name in marks(document)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_tables_of_the_documents_are_those_of_the_results(document: Path, name: str, tmp_path: Path) -> None:
    """What stands there is what ``--table-only --insert`` puts there; nothing where there are no results."""
    text = document.read_text(encoding="utf-8")
    file, copy = CHECKOUT / "results" / f"{name}.csv", tmp_path / "copy.md"
    copy.write_text(text, encoding="utf-8")
    if file.is_file():
        experiment = load_experiment(name)
        entries = read_csv(file, experiment)
        table = format_markdown(make_tables(experiment, entries), make_notes(experiment, entries)) + "\n"
        insert_table(copy, name, table)
        assert copy.read_text(encoding="utf-8") == text
    else:
        assert f"<!-- {name} -->\n<!-- end of {name} -->\n" in text
