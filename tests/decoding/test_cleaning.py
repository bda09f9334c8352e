import json
import random
from bisect import bisect

import pandas as pd
import pytest
import regex

from chaii.decoding.cleaning import (
    DEFAULT_RULES,
    RULES,
    arabic_digits,
    clean_answer,
    clean_answers,
    restore_dot,
    strip_punctuation,
    trim_tamil_suffix,
)

PALETTES = [
    [*"कखगदलपईािीू्ंँ़०१९।॥॰", "दिल्ली", "क्\u200dष", "ई. पू.", "ई.पू.", "ई", ". ", "कि. मी."],
    [*"கமதனலசஇஐாிீுைௌ்௧௯", "சென்னை", "பிரிட்டன்", "பிரிட்டனில்", "கி.மு", ". ", "நகரம்", "நகரத்தில்"],
    ["சென்னை", "சென்னையில்", "இந்தியா", "வுக்கு", "இல்", "க்கு", "த்தில்", "ம்", "ன்", "னை", " "],
    [*"०௧1,.-%", "१९", " 19 ", " 19% ", "१९%", " ௧௯", " ", " ", ", ", " (", "a"],
    ["287", " ई. पू", " ई.पू", " கி.மு", " கி. மீ", " U.S", " km", ". ", ". ", ".", "A", "\u0902"],
    [*"abUSmé .,B-C", "U.S", "U.S.A.", "B.C.", " km", "Dr", ". ", "?!"],
    [*"(()[]{}“”‘’\"''«»…—!?*#‼/₹", "abc", "दिल्ली", "'s", " "],
    [*" \t\n\u00a0\u200b\u200c\u200d\ufeff\ufe0f\u0600\u20e3😀👩🇮🇳🏻°²~+", "\r\n", "👩\u200d🚀"],
]


def random_pairs(rng: random.Random, count: int) -> list[tuple[str, str, int]]:
    """Answers, contexts, and the place of each answer, -1 where it has none."""
    pairs = []
    while len(pairs) < count:
        palette = [piece for own in rng.sample(PALETTES, rng.choice([1, 1, 1, 2])) for piece in own]
        pieces = rng.choices(palette, k=rng.randint(2, 24))
        context, at = "".join(pieces), rng.randrange(len(pieces))
        if rng.random() < 0.5:  # whole pieces; else any characters
            first = len("".join(pieces[:at]))
            answer = "".join(pieces[at : at + rng.choice([1, 2, 4])])
        else:
            first = rng.randrange(len(context))
            answer = context[first : first + rng.choice([1, 3, 6, 12])]
        if rng.random() < 0.1:
            answer, first = "".join(rng.choices(palette, k=rng.randint(1, 6))), -1
        pairs.append((answer, context, first))
    return pairs


SETS = [DEFAULT_RULES, tuple(RULES), *((name,) for name in RULES)]
PAIRS = random_pairs(random.Random(2021), 10_000)


@pytest.mark.parametrize("rules", SETS, ids=" ".join)
def test_an_answer_is_never_emptied_nor_made_up(rules: tuple[str, ...]) -> None:
    changed = 0
    for answer, context, _ in PAIRS:
        cleaned = clean_answer(answer, context, rules=rules)
        changed += cleaned != answer
        assert cleaned == answer or cleaned.strip()
        assert cleaned in context or answer not in context
    assert changed >= 30  # the pairs do exercise the rule


@pytest.mark.parametrize("rules", SETS, ids=" ".join)
def test_cleaning_twice_is_cleaning_once(rules: tuple[str, ...]) -> None:
    for answer, context, _ in PAIRS:
        once = clean_answer(answer, context, rules=rules)
        assert clean_answer(once, context, rules=rules) == once, (answer, context)


@pytest.mark.parametrize("rules", SETS, ids=" ".join)
def test_no_grapheme_is_split_that_the_answer_left_whole(rules: tuple[str, ...]) -> None:
    for answer, context, first in PAIRS:
        cleaned = clean_answer(answer, context, rules=rules)
        if first < 0 or cleaned == answer:
            continue
        breaks = [0, *(match.end() for match in regex.finditer(r"\X", context))]
        split = {bisect(breaks, end) for end in (first, first + len(answer)) if end not in breaks}
        assert any(
            all(end in breaks or bisect(breaks, end) in split for end in match.span())
            for match in regex.finditer(regex.escape(cleaned), context, overlapped=True)
        ), (answer, context, cleaned)


def test_rules_act_in_their_own_order() -> None:
    context = "सिरैक्यूज़ (287 ई.पू. में)"
    for rules in (DEFAULT_RULES, DEFAULT_RULES[::-1]):
        assert clean_answer("(287 ई.पू", context, rules=rules) == "287 ई.पू."
    assert clean_answer("(287 ई.पू", context, rules=["restore_dot"]) == "(287 ई.पू."
    assert clean_answer("(287 ई.पू", context, rules=[]) == "(287 ई.पू"


def test_suffixes_are_trimmed_only_when_asked_for() -> None:
    assert set(RULES) - set(DEFAULT_RULES) == {"trim_tamil_suffix"}


def test_unknown_rules_are_named() -> None:
    with pytest.raises(ValueError, match="cleaning rule 'stem' is none of"):
        clean_answer("a", "a", rules=["restore_dot", "stem"])


def answers_at(context: str, *spans: tuple[int, int]) -> pd.DataFrame:
    rows = [(f"q{n}", context[slice(*span)], 0.5, *span) for n, span in enumerate(spans)]
    columns = ["id", "prediction", "score", "start_char", "end_char"]
    return pd.DataFrame(rows, columns=columns, index=range(5, 5 + len(rows))).astype(
        {"prediction": "str"}
    )


def test_places_move_with_the_answers() -> None:
    context = "नगर (नगर) ௧௨ (12) और 12"
    before = answers_at(context, (4, 8), (10, 12), (0, 3), (0, 0))
    answers = before.copy()
    result = clean_answers(answers, [context] * 4, rules=DEFAULT_RULES)
    pd.testing.assert_frame_equal(answers, before)  # the argument stays as it was
    assert result.prediction.tolist() == ["नगर", "12", "नगर", ""]
    assert result.start_char.tolist() == [5, 14, 0, 0]
    assert result.end_char.tolist() == [8, 16, 3, 0]
    assert (result.dtypes == before.dtypes).all()
    assert result[["id", "score"]].equals(before[["id", "score"]])


def test_what_is_left_of_an_answer_stays_in_its_place() -> None:
    table = answers_at("8(8", (1, 3))  # an equal text before it is as near to its first character
    assert clean_answers(table, ["8(8"], rules=DEFAULT_RULES).start_char.tolist() == [2]


def test_cleaned_answers_are_the_text_at_their_place() -> None:
    rows = [(answer, context, first) for answer, context, first in PAIRS if first >= 0]
    table = pd.DataFrame(
        {
            "id": range(len(rows)),
            "prediction": [answer for answer, _, _ in rows],
            "start_char": [first for _, _, first in rows],
            "end_char": [first + len(answer) for answer, _, first in rows],
        }
    )
    contexts = [context for _, context, _ in rows]
    result = clean_answers(table, contexts, rules=tuple(RULES))
    spans = zip(contexts, result.start_char, result.end_char, strict=True)
    assert result.prediction.tolist() == [context[first:last] for context, first, last in spans]
    assert (result.prediction != table.prediction).mean() > 0.2


def test_an_answer_that_leaves_its_context_stays_as_it_was() -> None:
    # Not its context's text to begin with, so what is left of it need not be either.
    table = answers_at("(x", (0, 2))
    pd.testing.assert_frame_equal(clean_answers(table, ["y"], rules=DEFAULT_RULES), table)


def test_contexts_must_match_the_answers() -> None:
    with pytest.raises(ValueError, match="2 contexts for 1 answers"):
        clean_answers(answers_at("x", (0, 1)), ["x", "x"], rules=DEFAULT_RULES)


@pytest.mark.parametrize("language", ["hi", "en"])
def test_right_answers_of_real_rows_hardly_change(chaii_data, language: str) -> None:
    changed, rows = [], 0
    for article in json.loads((chaii_data / f"xquad/xquad.{language}.json").read_text())["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answer, rows = question["answers"][0]["text"], rows + 1
                cleaned = clean_answer(answer, paragraph["context"], rules=DEFAULT_RULES)
                changed += [(answer, cleaned)] if cleaned != answer else []
    assert len(changed) <= 0.01 * rows, changed


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # What trained models and annotators of the competition gave.
        ("70 ஆண்டுகள்).", "70 ஆண்டுகள்"),
        ("(Epistemology", "Epistemology"),
        ("(11 सितम्बर 1895", "11 सितम्बर 1895"),
        ("कोलंबो, श्रीलंका,", "कोलंबो, श्रीलंका"),
        ("வணிகம்:", "வணிகம்"),
        ("52)", "52"),
        ('EU वैट")', "EU वैट"),
        ("ventriloquism'", "ventriloquism"),
        ("‘आर्थोपोडा", "आर्थोपोडा"),
        ("'क्या हुआ तेरा वादा'", "'क्या हुआ तेरा वादा'"),
        ("रिडिल' अथवा 'एनिग्मा'", "रिडिल' अथवा 'एनिग्मा"),
        ("பிரான்சிய (பிரெஞ்சு)", "பிரான்சிய (பிரெஞ்சு)"),
        ("174 கி.மீ².", "174 கி.மீ²"),
        ("9,200 मी॰", "9,200 मी॰"),
        ("99.974°C", "99.974°C"),
        ("287 ई.पू.", "287 ई.पू."),
        ("१०३६ ई.", "१०३६ ई."),
        ("டாக்டர். மு.கருணாநிதி", "டாக்டர். மு.கருணாநிதி"),
        ("2.", "2"),
        # XQuAD
        ("ल्यूक क्युचली।", "ल्यूक क्युचली"),
        ('"We are beggars,"', '"We are beggars,"'),
        ("Engineering News-Record (ENR)", "Engineering News-Record (ENR)"),
        ("on Abortion and Sexuality (", "on Abortion and Sexuality"),
        ("DTIME(f(n))", "DTIME(f(n))"),
        ("equipment, etc.", "equipment, etc."),
        ("27-30%", "27-30%"),
        ("two.", "two"),
    ],
)
def test_punctuation_at_the_ends_of_real_answers(answer: str, expected: str) -> None:
    assert strip_punctuation(answer, answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("(1947)", "(1947)"),
        ("दिल्ली)", "दिल्ली"),
        ("(दिल्ली) में।॥", "(दिल्ली) में"),
        ("((दिल्ली)", "(दिल्ली)"),
        ("«दिल्ली» — “नगर", "«दिल्ली» — “नगर"),
        ("«दिल्ली» — “", "«दिल्ली»"),
        ("John's 'dog's' ", "John's 'dog's'"),
        ("dogs' ", "dogs"),
        ("the dog's bones'", "the dog's bones"),
        ("हिन्दी’की “बोली”", "हिन्दी’की “बोली”"),
        ("₹500, ", "₹500"),
        ("331 ई. पू.।", "331 ई. पू."),
        ("कि. मी..", "कि. मी."),
        ("the U.S.,", "the U.S."),
        ("विटामिन C.", "विटामिन C"),
        ("\ufeff- दिल्ली\u200b", "दिल्ली"),
        ("क्\u200d", "क्\u200d"),
        ("दिल्ली)\u0902", "दिल्ली)\u0902"),
        ("...", "..."),
        (" %)", "%"),
        ("", ""),
    ],
)
def test_what_stays_at_the_ends(answer: str, expected: str) -> None:
    assert strip_punctuation(answer, answer) == expected


@pytest.mark.parametrize(
    ("answer", "context", "expected"),
    [
        ("287 ई.पू", "जन्म 287 ई.पू. में", "287 ई.पू."),
        ("331 ई. पू", "सन् 331 ई. पू. में", "331 ई. पू."),
        ("331 ई", "सन् 331 ई. पू. में", "331 ई"),  # no half of an abbreviation
        ("331 ई", "सन् 331 ई.पू. में", "331 ई"),
        ("१९५४ ई", "१९५४ ई. को", "१९५४ ई."),
        ("12 कि. मी", "12 कि. मी. दूर", "12 कि. मी."),
        ("5 कि. ग्रा", "5 कि. ग्रा. चावल", "5 कि. ग्रा."),
        ("கி.மு", "கி.மு. 479-ம் ஆண்டு", "கி.மு."),
        ("கி. பி", "ஐன்ஸ்டைன் கி. பி. 1905 ம்", "கி. பி."),
        ("800 கி.மீ", "800 கி.மீ. நீளமானது", "800 கி.மீ."),
        ("10 ச. கி. மீ", "10 ச. கி. மீ. பரப்பு", "10 ச. கி. மீ."),
        ("வ.உ.சி", "சென்று வ.உ.சி.யைச் சந்தித்து", "வ.உ.சி"),  # a suffix is behind the dot
        ("44 B.C", "in 44 B.C., he", "44 B.C."),
        ("320 km", "runs 320 km. to the sea", "320 km."),
        ("320 km", "runs 320 km to the sea", "320 km"),
        ("the U.S", "of the U.S.A. today", "the U.S"),
        ("the U.S", "of the U.S. today", "the U.S."),
        ("दिल्ली", "राजधानी दिल्ली.", "दिल्ली"),
        ("ई.पू", "ई.पू.\u0902", "ई.पू"),  # the dot bears a mark
    ],
)
def test_dots_of_abbreviations_come_back(answer: str, context: str, expected: str) -> None:
    assert restore_dot(answer, context) == expected


@pytest.mark.parametrize(
    ("answer", "context", "expected"),
    [
        ("१९४७", "सन् १९४७ (1947) में", "1947"),
        ("௧௯௪௭", "௧௯௪௭ (1947)", "1947"),
        ("१२,५००", "१२,५०० अथवा 12,500 लोग", "12,500"),
        ("५.५ %", "५.५ % = 5.5 %", "5.5 %"),
        ("१२", "१२ से 12-15", "12"),
        ("१२", "१२ और 121, 12.5, 3,12", "१२"),
        ("१२", "१२ और C12, 12वीं", "१२"),
        ("१२", "१२ और 12\u20e3", "१२"),
        ("१९४७ में", "1947 में", "१९४७ में"),
        ("१௨", "12", "१௨"),
        ("१२", "बारह", "१२"),
        ("1947", "1947", "1947"),
    ],
)
def test_digits_become_arabic_where_the_context_has_them(
    answer: str, context: str, expected: str
) -> None:
    assert arabic_digits(answer, context) == expected


@pytest.mark.parametrize(
    ("answer", "context", "expected"),
    [
        ("ஆப்பிரிக்காவின்", "ஆப்பிரிக்காவின் வடபகுதி", "ஆப்பிரிக்கா"),
        ("டாக்டர். மு.கருணாநிதியால்", "டாக்டர். மு.கருணாநிதியால்", "டாக்டர். மு.கருணாநிதி"),
        ("சென்னைக்கு", "சென்னைக்கு வந்தார்", "சென்னை"),
        ("இந்தியாவிலிருந்து", "இந்தியாவிலிருந்து", "இந்தியா"),
        ("பிரிட்டனில்", "பிரிட்டனில்", "பிரிட்டனில்"),  # னி would be split
        ("பிரிட்டனில்", "பிரிட்டனில், பிரிட்டன்", "பிரிட்டன்"),
        ("பிரிட்டனுக்கு", "பிரிட்டனுக்கு", "பிரிட்டனுக்கு"),
        ("தமிழகத்திற்கு", "தமிழகத்திற்கு; தமிழகம்", "தமிழகம்"),
        ("லோதி சாலையில்", "லோதி சாலையில்", "லோதி சாலையில்"),  # two graphemes are no stem
        ("1920களில்", "1920களில் 1920கள்", "1920களில்"),
        ("நீளமானது", "நீளமானது", "நீளமானது"),
        ("दिल्ली", "दिल्ली", "दिल्ली"),
    ],
)
def test_tamil_suffixes_go(answer: str, context: str, expected: str) -> None:
    assert trim_tamil_suffix(answer, context) == expected
