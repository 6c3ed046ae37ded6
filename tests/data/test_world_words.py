import re

from ntkjax.data.world_words import DISTRACTORS, DOMAINS, NEW_THINGS, OLD_THINGS, SKILLS


def test_every_wording_is_its_own_and_takes_one_thing():
    general = [w for skill in SKILLS.values() for w in skill.wordings]
    domain = [w for needs in DOMAINS.values() for ws in needs.values() for w in ws]
    distracting = [w for skill in DISTRACTORS.values() for w in skill.wordings]
    wordings = general + domain + distracting
    assert len(set(wordings)) == len(wordings)
    assert all(wording.count("{}") == 1 for wording in wordings)


def test_a_dozen_skills_and_domains_that_need_two_or_three():
    assert len(SKILLS) == 12
    assert set(DOMAINS) == {"medical", "financial", "legal", "psychological"}
    for needs in DOMAINS.values():
        assert 2 <= len(needs) <= 3
        assert needs.keys() <= SKILLS.keys()


def test_distractors_share_values_with_skills_and_words_with_domains():
    for name, distractor in DISTRACTORS.items():
        shared = [d for d in DOMAINS if _shares_words(distractor.wordings, d)]
        assert shared, name
        assert any(distractor.values == skill.values for skill in SKILLS.values())


def test_things_are_distinct():
    assert len(set(OLD_THINGS)) == 32
    assert len(set(NEW_THINGS)) == 24
    assert not set(OLD_THINGS) & set(NEW_THINGS)


def test_no_wording_has_a_thing_of_its_own():
    everything = [
        w for skill in (SKILLS | DISTRACTORS).values() for w in skill.wordings
    ]
    everything += [w for needs in DOMAINS.values() for ws in needs.values() for w in ws]
    for wording in everything:
        assert not _words(wording) & {*OLD_THINGS, *NEW_THINGS}, wording


def _words(text: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in re.findall(r"[A-Za-z]+", text)}


def _shares_words(wordings: tuple[str, ...], domain: str) -> bool:
    """Whether every wording has a word that only the domain uses."""
    general = set().union(*(_words(w) for s in SKILLS.values() for w in s.wordings))
    own = set().union(*(_words(w) for ws in DOMAINS[domain].values() for w in ws))
    own -= general | {"with", "which", "when", "that"}
    return all(_words(wording) & own for wording in wordings)
