from xml.etree import ElementTree

from docs.drawing import draw
from docs.placing import plan


SVG = "{http://www.w3.org/2000/svg}"


def test_sheet_has_every_box_and_arrow_in_words_too():
    level = {"top": 2, "f/one": 1, "f": 1, "low": 0}
    arrows = [("top", "f"), ("f", "low")]
    says = {name: f"{name} <says>" for name in level}
    found = plan(level, arrows, "f")
    text = draw(found, says, title="All & more", notes=("in it", "below"))
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert [t.text for t in root.findall(f"{SVG}title")] == ["All & more"]
    assert [t.text for t in root.findall(f"{SVG}desc")] == ["f to low; top to f"]
    names = [t.text for t in root.iter(f"{SVG}text")]
    assert names == ["in it", "below", "top", "one", "low"]
    assert len([p for p in root.iter(f"{SVG}path") if p.get("class")]) == 2
    tips = [group.findtext(f"{SVG}title") for group in root.findall(f"{SVG}g")]
    assert tips == ["top <says>", "f/one <says>", "low <says>"]
