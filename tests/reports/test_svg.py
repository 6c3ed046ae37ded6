import xml.etree.ElementTree as ET

import matplotlib
import numpy as np

from ntkjax.reports.svg import INK, draw


def paint(axes):
    axes.plot([0, 1], [0, 1])
    axes.set_title("slope & <rise>")


def test_element_for_html():
    svg = draw(2.0, 2.0, paint, 'a "line" <up>')
    root = ET.fromstring(svg.replace("xlink:", ""))
    assert root.tag == "svg"
    assert root.attrib["aria-label"] == 'a "line" <up>'
    assert "slope & <rise>" in "".join(root.itertext())
    assert "http" not in svg
    assert INK not in svg
    assert "currentColor" in svg


def test_same_bytes_and_no_trace_left():
    before = dict(matplotlib.rcParams)
    assert draw(2.0, 2.0, paint, "x") == draw(2.0, 2.0, paint, "x")
    assert dict(matplotlib.rcParams) == before


def test_ids_of_two_figures_differ():
    def ids(svg):
        return {e.get("id") for e in ET.fromstring(svg.replace("xlink:", "")).iter()}

    one, two = ids(draw(2.0, 2.0, paint, "one")), ids(draw(2.0, 2.0, paint, "two"))
    assert one & two <= {None}
    assert len(one) > 1


def test_pictures_are_embedded():
    def dots(axes):
        axes.scatter(*np.random.default_rng(0).normal(size=(2, 9)), rasterized=True)

    assert "data:image/png;base64" in draw(2.0, 2.0, dots, "dots")
