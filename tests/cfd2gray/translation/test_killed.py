"""A folder translation that is killed at random ends with the same bytes as one that was left alone."""

from tests.benchmarks.bench_kill_translate import command, killed, make_files, tree


def test_killed_three_times_the_results_are_the_same(tmp_path):
    source, key = tmp_path / "in", tmp_path / "key"
    make_files(source, 12)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert killed(command(source, whole, key, ".dcm"), whole, kills=0, seconds=0) == 0
    hits = killed(command(source, torn, key, ".dcm"), torn, kills=3, seconds=1.5)
    left, right = tree(whole), tree(torn)
    assert hits and len(left) > 12 and left == right
