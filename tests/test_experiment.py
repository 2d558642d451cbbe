"""What an experiment file says, and the trainings and evaluations that come of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gcnpose.config import load_config
from gcnpose.errors import InputError
from gcnpose.experiment import Experiment, Plan, identity, load_experiment, make_plan
from gcnpose.resources import resource_folder
from tests.experiments import small_experiment
from tests.motions import small_motion

SHIPPED = sorted((resource_folder("configs") / "experiments").glob("*.yaml"))
GRID: dict[str, Any] = {
    "name": "grid",
    "title": "Operators and weights",
    "rows": [
        {"name": "cross product", "overrides": ["loss.operators=[cross]"]},
        {"name": "inner", "overrides": ["loss.operators=[inner]"], "published": [3.0, None]},
    ],
    "columns": [{"name": weight, "overrides": [f"loss.weight={weight}"]} for weight in ("0.5", "2")],
}


def read(folder: Path, *overrides: str, **changes: Any) -> Experiment:
    base = small_experiment(folder)
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**GRID, "base": str(base), **changes}))
    return load_experiment(path, overrides)


def plan(folder: Path, *overrides: str, **changes: Any) -> Plan:
    return make_plan(read(folder, *overrides, **changes))


def names(plan: Plan) -> list[list[str]]:
    return [[step.name for step in group] for group in plan.groups]


def faults(folder: Path, *overrides: str, **changes: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan(folder, *overrides, **changes)
    return [line.strip() for line in str(caught.value).replace(f"{folder}/", "").splitlines()]


# The file


def test_an_empty_row(tmp_path: Path) -> None:
    assert "grid.yaml: rows[0]: expected keys and values, came None" in faults(tmp_path, rows=[None])


def test_a_key_given_twice_in_a_row(tmp_path: Path) -> None:
    read(tmp_path)
    path = tmp_path / "twice.yaml"
    path.write_text((tmp_path / "grid.yaml").read_text() + "rows2:\n- {name: a, name: b}\n")
    with pytest.raises(InputError, match=r"rows2\[0\]\.name: given again in line"):
        load_experiment(path)


# The plan


def test_every_row_in_every_column_with_every_seed(tmp_path: Path) -> None:
    made = plan(tmp_path, "seeds=[3, 7]", "train.epochs=2")
    assert [(cell.row, cell.column, cell.seed) for cell in made.cells] == [
        (row, column, seed)
        for seed in (3, 7)
        for row in ("cross product", "inner")
        for column in ("0.5", "2")
    ]
    for cell in made.cells:
        config = cell.step.config
        assert config.loss.operators == ({"cross product": "cross", "inner": "inner"}[cell.row],)
        assert (config.loss.weight, config.seed, config.train.epochs) == (float(cell.column), cell.seed, 2)
        assert config.loss.intervals == (2, 4), "the base's"
        assert not config.tracking.system_metrics
        assert cell.step.folder == tmp_path / "runs" / "grid" / cell.step.name
    assert names(made)[:2] == [["cross-product-0.5-seed3"], ["cross-product-2-seed3"]]
    assert made.cells[0].step.config.name == "grid-cross-product-0.5"


def test_a_list_of_cells(tmp_path: Path) -> None:
    made = plan(tmp_path, columns=[], rows=[{"name": "plain"}, {"name": "b", "overrides": ["loss.weight=3"]}])
    assert names(made) == [["plain-seed0"], ["b-seed0"]]
    assert [cell.column for cell in made.cells] == ["", ""]
    assert made.cells[1].step.config.loss.weight == 3


def test_the_column_has_the_last_word(tmp_path: Path) -> None:
    columns = [{"name": "a", "overrides": ["loss.weight=5", "loss.operators=[subtraction]"]}]
    made = plan(tmp_path, columns=columns, rows=[*GRID["rows"]][:1], overrides=["loss.weight=1", "seed=9"])
    assert made.cells[0].step.config.loss.operators == ("subtraction",)
    assert made.cells[0].step.config.seed == 0


def test_equal_cells_are_trained_once(tmp_path: Path) -> None:
    none = {"name": "none", "overrides": ["loss.weight=0", "loss.operators=[cross]"]}
    made = plan(tmp_path, columns=[none, GRID["columns"][1]], rows=[*GRID["rows"]])
    assert len(made.cells) == 4
    assert names(made) == [["cross-product-none-seed0"], ["cross-product-2-seed0"], ["inner-2-seed0"]]
    assert made.cells[0].step is made.cells[2].step


def test_evaluations_share_a_training(tmp_path: Path) -> None:
    columns = [
        {"name": "as trained"},
        {"name": "step 1", "evaluate": ["evaluation.step=1"]},
        {"name": "noise", "evaluate": ["data.keypoints.noise.scale=1"]},
    ]
    rows = [{"name": "plain"}, {"name": "inner", "overrides": ["loss.operators=[inner]"]}]
    made = plan(tmp_path, columns=columns, rows=rows, seeds=[0, 1])
    assert len(made.groups) == 4
    assert names(made)[1] == ["inner-seed0", "inner-seed0/inner-step-1", "inner-seed0/inner-noise"]
    training, evaluation, _ = made.groups[1]
    assert (training.trained, evaluation.trained) == (None, training.folder)
    assert evaluation.evaluate == ("evaluation.step=1",)
    changes = [cell.step.evaluate for cell in made.cells[:3]]
    assert changes == [(), ("evaluation.step=1",), ("data.keypoints.noise.scale=1",)]


@pytest.mark.parametrize("count", range(1, 6))
def test_shards_are_disjoint_and_complete(tmp_path: Path, count: int) -> None:
    columns = [{"name": "as trained"}, {"name": "step 1", "evaluate": ["evaluation.step=1"]}]
    made = plan(tmp_path, columns=columns, seeds=[0, 1, 2])
    shards = [made.shard(number, count) for number in range(1, count + 1)]
    groups = [step.name for groups in shards for group in groups for step in group]
    assert sorted(groups) == sorted(step.name for group in made.groups for step in group)
    assert len(groups) == len(set(groups)) == 12
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(
    ("number", "count", "message"),
    [
        (0, 2, "shard: expected 1/2 to 2/2, came 0/2"),
        (3, 2, "shard: expected 1/2 to 2/2, came 3/2"),
        (5, 9, "shard 5/9: nothing to do, the experiment has 4 trainings"),
    ],
)
def test_shards_that_are_none(tmp_path: Path, number: int, count: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        plan(tmp_path).shard(number, count)


# What a result depends on


def test_identity_is_what_a_result_depends_on(tmp_path: Path) -> None:
    path = small_experiment(tmp_path)
    one = identity(load_config(path))
    elsewhere = ["output=x", "device=auto", "tracking.enabled=true", "name=y", "data.path=/z/motion.npz"]
    assert identity(load_config(path, [*elsewhere, "data.keep=disk"])) == one
    assert identity(load_config(path, ["data.path=/z/other.npz"])) != one
    assert identity(load_config(path, ["loss.weight=0.9"])) == {**one, "loss.weight": 0.9}
    assert "model.dropout" not in one, "so a setting that is added later, with a default, changes nothing"


def test_digests_tell_steps_apart(tmp_path: Path) -> None:
    columns = [{"name": str(step), "evaluate": [f"evaluation.step={step}"]} for step in (1, 2)]
    made = plan(tmp_path, columns=columns, seeds=[0, 1])
    steps = [step for group in made.groups for step in group]
    assert len({step.digest for step in steps}) == len(steps) == 12
    again = plan(tmp_path, "output=elsewhere", columns=columns, seeds=[0, 1])
    assert [step.digest for group in again.groups for step in group] == [step.digest for step in steps]


def test_a_graph_file_is_what_it_holds(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(resource_folder("graphs") / "h36m17.yaml", tmp_path / name / "graph.yaml")

    def digest(name: str) -> str:
        return plan(tmp_path, f"skeleton={tmp_path / name / 'graph.yaml'}").groups[0][0].digest

    assert digest("one") == digest("other") != plan(tmp_path).groups[0][0].digest
    graph = yaml.safe_load((tmp_path / "other" / "graph.yaml").read_text())
    graph["bones"].append(["left_hip", "right_hip"])
    (tmp_path / "other" / "graph.yaml").write_text(yaml.safe_dump(graph))
    assert digest("one") != digest("other")


def test_motion_to_evaluate_on_is_what_it_holds(tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    columns = [{"name": "other motion", "evaluate": [f"data.path={other}"]}]
    digests = []
    for frames in (30, 40):
        small_motion((frames, 30, 20)).save(other)
        made = plan(tmp_path, columns=columns, rows=GRID["rows"][:1])
        digests.append([step.digest for step in made.groups[0]])
    assert digests[0][0] == digests[1][0] and digests[0][1] != digests[1][1]
    quoted = [{"name": "other motion", "evaluate": [f'data.path="{other}"']}]
    assert plan(tmp_path, columns=quoted, rows=GRID["rows"][:1]).groups[0][1].other_motion == str(other)
    (tmp_path / "motion.npz").rename(tmp_path / "moved.npz")
    evaluation = plan(tmp_path, columns=columns, rows=GRID["rows"][:1]).groups[0][1]
    assert evaluation.accepts(digests[1][1]), "where motion is not here, by the settings"


# Overrides


def test_overrides_of_the_experiment_and_of_all_cells(tmp_path: Path) -> None:
    other = small_experiment(tmp_path).with_name("other.yaml")
    other.write_text((tmp_path / "small.yaml").read_text().replace("name: small", "name: other"))
    given = [f"base={other}", "name=again", "data.window=8", "metrics=[mpjve_mm]"]
    made = plan(tmp_path, *given, overrides=["train.epochs=5"])
    assert (made.experiment.name, made.experiment.metrics) == ("again", ("mpjve_mm",))
    assert made.folder == tmp_path / "runs" / "again"
    config = made.cells[0].step.config
    assert (config.data.window, config.train.epochs) == (8, 5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.weight=3", "override 'loss.weight=3': loss.weight is what the cells of grid.yaml differ in"),
        ("loss={weight: 3}", "override 'loss={weight: 3}': loss."),
        ("loss.operators[0]=inner", "override 'loss.operators[0]=inner': loss.operators is what the cells"),
        ("seed=3", "override 'seed=3': the seeds of an experiment are seeds=[...]"),
        ("trian.epochs=3", "override 'trian.epochs=3': trian: unknown key, did you mean train?"),
        (
            "seeds=[1, 1]",
            "override 'seeds=[1, 1]': seeds: expected one or more of 0 to 4294967295, none twice",
        ),
        ("seeds=[-1]", "override 'seeds=[-1]': seeds: expected one or more of 0 to 4294967295, none twice, "),
        ("seeds=[]", "override 'seeds=[]': seeds: expected one or more of 0 to 4294967295, none twice, came"),
        ("metrics=[mpje]", "override 'metrics=[mpje]': metrics[0]: expected one of mpjpe_mm, "),
    ],
)
def test_overrides_that_cannot_be(tmp_path: Path, override: str, message: str) -> None:
    (line,) = faults(tmp_path, override)
    assert line.startswith(message)


def test_overrides_of_what_the_cells_are_scored_by(tmp_path: Path) -> None:
    columns = [{"name": "flipped", "evaluate": ["evaluation.flip=true"]}]
    (line,) = faults(tmp_path, "evaluation.flip=false", columns=columns, rows=GRID["rows"][:1])
    assert (
        line == "override 'evaluation.flip=false': evaluation.flip is what the cells of grid.yaml differ in"
    )


# Faults


def test_all_faults_of_a_file_at_once(tmp_path: Path) -> None:
    rows = [{"name": "a", "publish": [1]}, {"name": 8}]
    assert faults(tmp_path, rows=rows, title="", sseds=[1]) == [
        "4 faults:",
        "grid.yaml: sseds: unknown key, did you mean seeds?",
        "grid.yaml: title: expected text that is not empty, came ''",
        "grid.yaml: rows[0].publish: unknown key, did you mean rows[0].published?",
        "grid.yaml: rows[1].name: expected text, came 8 (YAML takes it for text only in quotes)",
    ]


def test_all_faults_of_the_cells_at_once(tmp_path: Path) -> None:
    rows = [
        {"name": "a", "overrides": ["loss.wieght=1"]},
        {"name": "b", "overrides": ["loss.intervals=[99]"]},
        {"name": "c", "evaluate": ["model.dropout=0.3"]},
        {"name": "d", "evaluate": ["evaluation.step=0"]},
        {"name": "e", "overrides": ["skeleton=nobody"]},
    ]
    lines = faults(tmp_path, rows=rows, columns=[], seeds=[0, 1])
    assert len(lines) == 5, "each once, not for every seed"
    assert "a: override 'loss.wieght=1': loss.wieght: unknown key, did you mean loss.weight?" in lines[0]
    assert "b: override 'loss.intervals=[99]': loss.intervals: expected less than data.window" in lines[1]
    assert lines[2] == "grid: c: evaluate: model.* is what the training made it"
    assert "d: override 'evaluation.step=0': evaluation.step: expected at least 1, came 0" in lines[3]
    assert lines[4].startswith("grid: e: nobody: no such graph")


def test_a_fault_of_the_base_is_told_once(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, overrides=["train.epochs=none"])
    assert line == "override 'train.epochs=none': train.epochs: expected a whole number, came 'none'"
    (line,) = faults(tmp_path, base="nothing.yaml")
    assert line.startswith("nothing.yaml: no such config; shipped configs: cmu17, ")


def test_no_cells(tmp_path: Path) -> None:
    assert faults(tmp_path, rows=[], columns=[]) == ["grid.yaml: rows: expected at least one, came none"]


def test_names_twice(tmp_path: Path) -> None:
    twice = [{"name": "a"}, {"name": "a", "overrides": ["loss.weight=3"]}]
    assert faults(tmp_path, rows=twice) == ["grid.yaml: rows[1].name: expected another name than rows[0]"]
    alike = [{"name": "a b"}, {"name": "a/b", "overrides": ["loss.weight=3"]}]
    assert faults(tmp_path, rows=alike, columns=[]) == [
        "grid: a/b: its training would lie in the folder a-b-seed0 of another one"
    ]
    alike = [{"name": name, "evaluate": [f"evaluation.step={len(name)}"]} for name in ("a b", "a//b")]
    assert faults(tmp_path, rows=alike, columns=[]) == ["grid: small-seed0/a-b: two cells have this name"]


def test_published_figures_for_every_column(tmp_path: Path) -> None:
    rows = [{"name": "a", "published": [1.0]}]
    assert faults(tmp_path, rows=rows) == [
        "grid.yaml: rows[0].published: expected 2, one for each column, came 1"
    ]
    assert faults(tmp_path, rows=rows, columns=[], metrics=["mpjpe_mm", "auc"]) == [
        "grid.yaml: rows[0].published: expected 2, one for each metric, came 1"
    ]


def test_columns_over_a_metric(tmp_path: Path) -> None:
    both = ["mpjpe_mm", "keypoints_error_px"]
    assert faults(tmp_path, x="keypoints_error_px", metrics=both, columns=[], rows=[{"name": "a"}]) == [
        "grid.yaml: x: is what columns are drawn over, and there are none"
    ]
    assert faults(tmp_path, x="mpjpe_mm") == ["grid.yaml: x: there is no other metric to draw over it"]
    assert read(tmp_path, x="keypoints_error_px", metrics=both).x == "keypoints_error_px"


def test_an_experiment_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"did you mean table1\?; shipped experiments: baselines, best, conditions, dropout, ",
    ):
        load_experiment("tabel1")


# Those that come with the package


# Cells without the motion loss are one training, whatever its operator would be.
TRAININGS = {
    "table1": 1 + 3 * 8,
    "table2": 2 * 4,
    "table3": 2 * 4,
    "table4": 7,
    "table5": 5,
    "table8": 4,
    "figure6": 2,
}


def test_tables_share_cells() -> None:
    """What one table has trained, another does not train again: the digests are the same."""
    digests: dict[str, set[str]] = {}
    for path in SHIPPED:
        for group in make_plan(load_experiment(path)).groups:
            digests.setdefault(group[0].digest, set()).add(path.stem)
    plain = {
        "table2",
        "table4",
        "lambda",
        "dropout",
        "window",
        "partition",
        "subjects",
        "upsampling",
    }
    assert any(plain <= names for names in digests.values())
    assert any({"table1", "table2", "table3", "table5"} <= names for names in digests.values())
    assert any({"table8", "figure6"} <= names for names in digests.values())
    assert any({"forms", "precision"} <= names for names in digests.values())


def test_there_are_shipped_experiments() -> None:
    assert {"table1", "table2", "table3", "table4", "table5", "table8", "figure6"} <= {
        p.stem for p in SHIPPED
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("base", ["", "h36m_cpn"])
def test_shipped_experiments(path: Path, base: str) -> None:
    """Their cells load as configs, with the base of another data set too; as by name, so by path."""
    experiment = load_experiment(path.stem, [f"base={base}"] if base else [])
    assert experiment.name == path.stem
    made = make_plan(experiment)
    assert len(made.cells) == len(experiment.rows) * max(len(experiment.columns), 1) * len(experiment.seeds)
    assert len(made.groups) == TRAININGS.get(path.stem, len(made.groups))
    if not base:
        assert load_experiment(path) == experiment
        assert load_config(experiment.base).data.path == "cmu17.npz"
