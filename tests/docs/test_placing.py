import itertools

from docs.placing import GAP, MARGIN, WIDTH, places, plan, width_of


ARROWS = [("top", "f"), ("f", "left"), ("f", "right"), ("left", "low"), ("f", "low")]
LEVEL = {"top": 5, "f/one": 3, "f/two": 4, "f": 3, "left": 1, "right": 2, "low": 0}


def test_arrows_are_cut_at_every_row():
    found = plan(LEVEL, ARROWS, "f")
    assert found.callers == ("top",)
    assert ("f", ("f", "low", 2), ("f", "low", 1), "low") in found.paths
    assert found.rows[1] == ("left", ("f", "low", 1))
    assert [k for k in found.links[3] if k[1] == "right"] == [("f", "right")]


def test_nothing_overlaps():
    found = plan(LEVEL, ARROWS, "f")
    x = places(found)
    for row in found.rows:
        items = [item for item in row if item != "f"]
        for item in items:
            edge = width_of(item) // 2 + 2 * MARGIN
            assert edge <= x[item] <= WIDTH - edge
        for one, other in itertools.combinations(items, 2):
            room = (width_of(one) + width_of(other)) // 2 + GAP
            assert abs(x[one] - x[other]) >= room


def test_arrows_that_need_not_cross_do_not():
    level = {"a": 1, "b": 1, "c": 0, "d": 0, "f": 2, "f/g": 2}
    x = places(plan(level, [("a", "d"), ("b", "c")], "f"))
    assert (x["a"] - x["b"]) * (x["d"] - x["c"]) > 0
