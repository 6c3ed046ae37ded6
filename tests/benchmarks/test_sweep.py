from benchmarks.ranking import settings
from benchmarks.sweep import FACTORS, Point, by_point, level, over_seeds, points, runs


def test_one_factor_varies_at_a_time():
    base = Point("m")
    for factor, point in points("m", tuple(FACTORS))[1:]:
        changed = [
            name for name in vars(base) if getattr(point, name) != vars(base)[name]
        ]
        assert changed == [factor]


def test_every_value_of_every_factor_is_measured():
    found = points("m", tuple(FACTORS))
    assert found[0] == ("base", Point("m"))
    assert len(found) == len(set(found)) == 1 + sum(map(len, FACTORS.values()))


def test_runs_take_their_seeds_from_the_sizes():
    sizes = settings(quick=False).sweep
    seeds = [seed for factor, _, seed in runs("base4m", sizes) if factor == "base"]
    assert seeds == list(range(sizes.base_seeds))
    medical = [s for factor, _, s in runs("stories260k", sizes) if factor == "domain"]
    assert medical == list(range(sizes.seeds["stories260k"]))


def test_rows_of_one_point_are_brought_together():
    rows = [
        {"factor": factor, "point": vars(point), "seed": seed}
        for factor, point in points("m", ("b",))
        for seed in (0, 1)
    ]
    groups = by_point(rows)
    assert [group["level"] for group in groups] == ["base point", "B ≠ 0"]
    assert [[row["seed"] for row in group["rows"]] for group in groups] == [[0, 1]] * 2
    assert len({level(row) for row in rows}) == 2


def test_over_seeds():
    assert over_seeds([1.0, 3.0]) == {"mean": 2.0, "min": 1.0, "max": 3.0}
