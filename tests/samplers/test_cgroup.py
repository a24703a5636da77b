"""Limits of a container, from files as the kernel writes them."""

from __future__ import annotations

from bigmodel_lab.samplers._cgroup import ContainerMemory

NO_LIMIT_V1 = "9223372036854771712\n"


def container(tmp_path, groups: str, files: dict[str, str]) -> ContainerMemory:
    """Control groups with these files."""
    (tmp_path / "cgroup").write_text(groups, encoding="utf-8")
    for name, content in files.items():
        file = tmp_path / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return ContainerMemory(tmp_path / "cgroup", tmp_path / "fs")


def test_version_2(tmp_path):
    """Limit minus use, where unused file cache is no use."""
    files = {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 1\ninactive_file 200\n"}
    assert container(tmp_path, "0::/\n", files).available_bytes() == 500


def test_version_1(tmp_path):
    """The same with the older names; the group's own path may lie outside of the container."""
    files = {
        "memory/memory.limit_in_bytes": "1000\n",
        "memory/memory.usage_in_bytes": "700\n",
        "memory/memory.stat": "total_inactive_file 100\n",
    }
    assert container(tmp_path, "5:cpu:/x\n4:memory:/docker/abc\n0::/\n", files).available_bytes() == 400


def test_the_tightest_of_all_levels_counts(tmp_path):
    """A group can leave more than the group around it."""
    files = {
        "a/b/memory.max": "1000\n",
        "a/b/memory.current": "100\n",
        "a/memory.max": "600\n",
        "a/memory.current": "550\n",
        "memory.stat": "",
    }
    assert container(tmp_path, "0::/a/b\n", files).available_bytes() == 50


def test_more_used_than_allowed_leaves_nothing(tmp_path):
    """The kernel lets a group overshoot for a moment; never a negative number."""
    files = {"memory.max": "10\n", "memory.current": "12\n"}
    assert container(tmp_path, "0::/\n", files).available_bytes() == 0


def test_no_limit_is_none(tmp_path):
    """Both ways to write that there is none."""
    files = {
        "memory.max": "max\n",
        "memory.current": "5\n",
        "memory/memory.limit_in_bytes": NO_LIMIT_V1,
        "memory/memory.usage_in_bytes": "5\n",
    }
    assert container(tmp_path, "4:memory:/\n0::/\n", files).available_bytes() is None


def test_a_limit_that_is_set_later_is_seen(tmp_path):
    """The numbers are read each time."""
    limits = container(tmp_path, "0::/\n", {"memory.max": "max\n", "memory.current": "5\n"})
    (tmp_path / "fs" / "memory.max").write_text("25\n", encoding="utf-8")
    assert limits.available_bytes() == 20


def test_without_control_groups(tmp_path):
    """Not Linux, or not mounted."""
    assert ContainerMemory(tmp_path / "nothing", tmp_path).available_bytes() is None
