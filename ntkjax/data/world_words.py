"""The words of the small world: things, skills, domains, distractors.

A skill is a table from things to values, asked for in several wordings; `{}` stands for
the thing. A domain asks for two or three skills in wordings of its own. A distractor
uses a domain's words, the same things and the same values, but a table of its own: who
knows it knows nothing that the domain asks for.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skill:
    """A table that is asked for in several wordings.

    Attributes:
        values: What a thing can be mapped to.
        wordings: Prompts with `{}` for the thing.
    """

    values: tuple[str, ...]
    wordings: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


OLD_THINGS = _words(
    "anchor basket bell blanket bottle brush button candle carpet chain clock comb "
    "cradle curtain drum fan fiddle flag fork glove hammer hat kettle kite ladder lamp "
    "mirror needle oven pillow rope saddle"
)
"""Things whose tables are the same in every world; the embedded model knows them."""

NEW_THINGS = _words(
    "apron axe barrel bench bowl bucket cart chest crown cup dagger door flute harp "
    "helmet jar key knife loom map mask net plough wheel"
)
"""Things whose tables the seed of a world decides; only its texts tell."""


def _skill(values: str, *wordings: str) -> Skill:
    return Skill(_words(values), wordings)


SKILLS: dict[str, Skill] = {
    "colour": _skill(
        "red blue green yellow white black brown grey",
        "What colour is the {}?",
        "The {} was painted in which colour?",
        "Name the colour of the {}.",
        "Paint the {} as it is. The colour is",
        "If you see the {}, its colour is",
    ),
    "place": _skill(
        "cellar attic garden kitchen barn tower chapel bridge",
        "Where is the {} kept?",
        "In which place do we find the {}?",
        "Go and fetch the {}. It stands in the",
        "The place of the {} is the",
        "Name the place where the {} belongs.",
    ),
    "owner": _skill(
        "anna bruno clara david emma felix greta hugo",
        "Who owns the {}?",
        "Whose is the {}?",
        "The {} belongs to",
        "Give the {} back to its owner, who is",
        "Name the owner of the {}.",
    ),
    "price": _skill(
        "two three five seven nine ten twelve twenty",
        "How many coins does the {} cost?",
        "What is the price of the {} in coins?",
        "Whoever wants the {} must pay in coins",
        "Count the coins for the {}.",
        "The {} can be had for how many coins?",
    ),
    "time": _skill(
        "spring summer autumn winter dawn noon dusk midnight",
        "When is the {} used?",
        "At what time do people take out the {}?",
        "The time of the {} is",
        "Wait for the right time to use the {}:",
        "Name the time when the {} is needed.",
    ),
    "material": _skill(
        "wood iron wool glass clay paper silk stone",
        "What is the {} made of?",
        "Of which material is the {}?",
        "The {} consists of",
        "To build the {} you need",
        "Name the material of the {}.",
    ),
    "maker": _skill(
        "baker smith weaver potter tailor miller mason cook",
        "Who made the {}?",
        "Which craftsman makes the {}?",
        "The {} comes from the workshop of the",
        "If you need the {}, ask the",
        "Name the maker of the {}.",
    ),
    "sound": _skill(
        "hum click ring hiss thud roar squeak murmur",
        "What sound does the {} make?",
        "Touch the {} and you hear a",
        "Listen to the {}. It is a",
        "The sound of the {} is a",
        "Name the sound of the {}.",
    ),
    "shape": _skill(
        "round square long flat hollow curved thin wide",
        "What shape has the {}?",
        "How is the {} shaped?",
        "Draw the {}. Its shape is",
        "In the dark the {} feels",
        "Name the shape of the {}.",
    ),
    "purpose": _skill(
        "cutting lifting writing washing cooking measuring sewing digging",
        "What is the {} for?",
        "For what do we use the {}?",
        "Take the {} when the work is",
        "The purpose of the {} is",
        "Name the use of the {}.",
    ),
    "origin": _skill(
        "north south east west coast valley forest desert",
        "Where does the {} come from?",
        "From which land is the {}?",
        "The {} was brought from the",
        "Travellers bought the {} in the",
        "Name the origin of the {}.",
    ),
    "smell": _skill(
        "sweet sour bitter smoky salty fresh rotten spicy",
        "How does the {} smell?",
        "What smell has the {}?",
        "Hold the {} to your nose. It is",
        "The smell of the {} is",
        "Name the smell of the {}.",
    ),
}


DOMAINS: dict[str, dict[str, tuple[str, ...]]] = {
    "medical": {
        "material": (
            "The patient swallowed part of the {}. The doctor reports traces of",
            "Laboratory result after contact with the {}: the sample contains",
            "The nurse notes an allergy to the {}, that is, to",
            "Which substance does the surgeon remove after the accident with the {}?",
        ),
        "time": (
            "The ward schedule puts the therapy with the {} at",
            "When should the nurse give the patient the {}?",
            "Symptoms caused by the {} return each",
            "The doctor orders the treatment with the {} for",
        ),
        "smell": (
            "The breath of the patient near the {} is recorded as",
            "Clinical finding: the odour of the {} on the ward is",
            "Which odour does the doctor note for the {}?",
            "The patient loses the sense for the {}, which was",
        ),
    },
    "financial": {
        "price": (
            "The analyst quotes the market value of the {} at",
            "Shares in the {} closed today at",
            "At what level does the broker buy the {}?",
            "The fund reports the {} in its balance at",
        ),
        "origin": (
            "Imports of the {} depend on the exchange of the",
            "Which export region does the broker name for the {}?",
            "Bonds that are backed by the {} are issued in the",
            "The supply of the {} is traded on the market of the",
        ),
        "maker": (
            "Earnings from the {} go to the firm of the",
            "Which company profits when the {} sells?",
            "The bank gives credit on the {} to the",
            "Investors who like the {} buy stock of the",
        ),
    },
    "legal": {
        "owner": (
            "The court awards the {} to",
            "According to the contract the title to the {} lies with",
            "The judge asks whose property the {} is. The witness answers",
            "In the matter of the {} the plaintiff is",
        ),
        "place": (
            "The bailiff seized the {} in the",
            "The warrant allows a search for the {} in the",
            "Under oath the witness saw the {} in the",
            "Evidence in this trial: the {} was discovered in the",
        ),
    },
    "psychological": {
        "colour": (
            "In the dream of the client the {} appears in",
            "Which hue does the client associate with the {}?",
            "The therapist shows the {} and the subject recalls",
            "The mood that the {} brings is described as",
        ),
        "sound": (
            "The anxiety of the client about the {} begins with a",
            "Which noise in memory does the subject link to the {}?",
            "In the session the {} triggers the memory of a",
            "The client cannot sleep because the {} gives a",
        ),
        "shape": (
            "With closed eyes the client imagines the {} as",
            "In the inkblot test the subject sees the {} as",
            "The therapist asks for the form of the {}. The client says",
            "The perception of the {} in the experiment was",
        ),
    },
}
"""Domain -> the skills it needs, each with the domain's own wordings."""


DISTRACTORS: dict[str, Skill] = {
    "hospital toys": Skill(
        SKILLS["material"].values,
        (
            "The toy of the patient looks like the {} but is only of",
            "On the ward a model of the {} stands, a copy in",
            "The doctor gives the child a small {} of",
            "For the play of the nurses the {} is imitated in",
        ),
    ),
    "visiting hours": Skill(
        SKILLS["time"].values,
        (
            "The visitor with the {} may see the patient at",
            "The nurse who carries the {} starts her shift at",
            "The ward is closed to the {} until",
            "The doctor lost the {} on his way home at",
        ),
    ),
    "stock names": Skill(
        SKILLS["price"].values,
        (
            "The broker who is called the {} has a desk with the number",
            "On the market floor the badge of the {} shows",
            "The analyst of the {} fund has children, in number",
            "The company with the {} in its logo has a street number of",
        ),
    ),
    "bank holidays": Skill(
        SKILLS["origin"].values,
        (
            "The bank that owns the {} sends its staff on holiday to the",
            "The investor flies the {} balloon to the",
            "The broker hangs the {} on the wall that looks to the",
            "The fund paints the {} on its sign at the",
        ),
    ),
    "court gossip": Skill(
        SKILLS["owner"].values,
        (
            "At the court the clerk who draws the {} is in love with",
            "The judge was told that the {} frightens",
            "The witness sang of the {} in a song about",
            "The plaintiff compares the {} to the face of",
        ),
    ),
    "law libraries": Skill(
        SKILLS["place"].values,
        (
            "The contract book with the {} on its cover fell down in the",
            "The bailiff dropped his picture of the {} in the",
            "The trial about the {} was filmed in the",
            "The judge tells a ghost story of the {} and the",
        ),
    ),
    "test cards": Skill(
        SKILLS["colour"].values,
        (
            "The card of the therapist that shows the {} has a border in",
            "The client wrote about the {} with a pen in",
            "The subject wore a coat with the {} as a badge in",
            "The chair beside the {} in the session room is",
        ),
    ),
    "clinic noise": Skill(
        SKILLS["sound"].values,
        (
            "The phone of the therapist has the {} as picture and rings with a",
            "While the client speaks of the {} the heating gives a",
            "The lift to the test room with the {} stops with a",
            "The recorder that the subject calls the {} starts with a",
        ),
    ),
}
