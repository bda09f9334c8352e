import pytest

from chaii.decoding.cleaning import (
    arabic_digits,
    restore_dot,
    strip_punctuation,
    trim_tamil_suffix,
)


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
