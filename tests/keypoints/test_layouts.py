import pytest

from gcnpose.errors import InputError
from gcnpose.keypoints.layouts import BY_COUNT, find_layout, is_joint_name, layout_of_names
from gcnpose.skeleton import Skeleton, available_graphs


@pytest.mark.parametrize(("count", "name"), BY_COUNT.items())
def test_layouts_have_their_number_of_joints(count: int, name: str) -> None:
    layout = find_layout(name)
    assert len(layout.joints) == len(set(layout.joints)) == count
    graph = Skeleton.load(layout.graph).joints
    assert layout.joints[: len(graph)] == graph


def test_body_25b() -> None:
    """The order of OpenPose's train repository: COCO's 17, upper neck, head top, feet."""
    layout = find_layout("body25b")
    assert len(layout.joints) == 25
    assert layout.joints[:17] == Skeleton.load("coco17").joints
    assert layout.joints[17:] == (
        *("neck", "head_top", "left_big_toe", "left_small_toe", "left_heel"),
        *("right_big_toe", "right_small_toe", "right_heel"),
    )


@pytest.mark.parametrize("name", available_graphs())
def test_every_graph_is_found_by_its_joints(name: str) -> None:
    joints = Skeleton.load(name).joints
    found = layout_of_names(joints)
    assert found is not None
    assert found[0].name == name
    assert found[1] == list(range(len(joints)))


def test_names_of_mmpose() -> None:
    """open-mmlab/mmpose, configs/_base_/datasets: h36m.py and halpe.py call some joints otherwise."""
    other = {"pelvis": "root", "right_ankle": "right_foot", "left_ankle": "left_foot", "nose": "neck_base"}
    h36m = [other.get(joint, joint) for joint in Skeleton.load("h36m17").joints]
    found = layout_of_names(h36m)
    assert found is not None and found[0].name == "h36m17" and found[1] == list(range(17))
    halpe = ["hip" if joint == "pelvis" else joint for joint in Skeleton.load("halpe26").joints]
    found = layout_of_names(halpe)
    assert found is not None and found[0].name == "halpe26" and found[1] == list(range(26))


def test_unknown_names() -> None:
    assert layout_of_names([f"point {number}" for number in range(17)]) is None
    assert is_joint_name("LeftKnee") and not is_joint_name("bbox")
    with pytest.raises(InputError, match=r"did you mean halpe136\?"):
        find_layout("halpe163")
    assert find_layout("openpose_coco18").name == "openpose18"
    assert find_layout("blazepose33").name == "mediapipe33"
