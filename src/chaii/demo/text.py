"""The words of the demo corpora: sentence parts in five languages, and nothing else.

Every fact reads "whose, what, answer, ending" and every question repeats the "what", so that a
transformer of a few hundred thousand weights can learn the task in seconds.
"""

from dataclasses import dataclass

KINDS: dict[str, tuple[str, ...]] = {
    "person": ("birth_year", "profession"),
    "town": ("population", "language"),
    "river": ("length", "source"),
}


@dataclass(frozen=True)
class Wording:
    """How one language says things; `{s}` is the subject, `{p}` a place.

    Fields of several choices are tuples; `whose` maps a kind to its (named, unnamed) owner,
    `attributes` an attribute to (what, how to ask for it).
    """

    script: int | None  # first code point of the Indic Unicode block; None is Latin
    intros: dict[str, str]
    whose: dict[str, tuple[str, str]]
    attributes: dict[str, tuple[str, str]]
    sources: tuple[str, ...]  # what may come before a fact
    ending: str  # what comes after an answer, as a rule
    attached: tuple[str, ...]  # endings that hang on to the answer
    questions: tuple[str, ...]
    professions: tuple[str, ...]
    towns: tuple[str, ...]  # endings of town names
    thousand: str
    kilometre: str
    mountain: str
    openers: tuple[str, ...]  # filler = opener + actor + action + stop
    actors: tuple[str, ...]
    actions: tuple[str, ...]
    stop: str
    distraction: str  # filler with a name that nobody asks for
    mention: str  # filler that happens to hold the answer
    fact: str = "{whose} {what} {answer}{ending}"


HINDI = Wording(
    script=0x900,
    intros={"person": "{s} एक व्यक्ति हैं।", "town": "{s} एक नगर है।", "river": "{s} एक नदी है।"},
    whose={
        "person": ("{s} नामक व्यक्ति", "इस व्यक्ति"),
        "town": ("{s} नगर", "इस नगर"),
        "river": ("{s} नदी", "इस नदी"),
    },
    attributes={
        "birth_year": ("का जन्मवर्ष", "कौन सा है"),
        "profession": ("का पेशा", "क्या है"),
        "population": ("की जनसंख्या", "कितनी है"),
        "language": ("की भाषा", "कौन सी है"),
        "length": ("की लंबाई", "कितनी है"),
        "source": ("का उद्गम", "कहाँ है"),
    },
    sources=("", "", "अभिलेखों के अनुसार ", "जानकारों के मत में "),
    ending=" है।",
    attached=("।", ", यह सब मानते हैं।"),
    questions=("{whose} {what} {ask}?", "बताइए, {whose} {what} {ask}?"),
    professions=("कवि", "चित्रकार", "शिक्षक", "वैद्य", "लोक गायक", "मूर्तिकार", "किसान", "नाटककार"),
    towns=("पुर", "गढ़", "नगर", "वाड़ा"),
    thousand="हज़ार",
    kilometre="किलोमीटर",
    mountain="पर्वत",
    openers=("बाद में", "उन दिनों", "आज भी", "कहते हैं कि", "हर साल", "कभी कभी", "इसके अलावा", "फिर भी"),
    actors=("स्थानीय लोग", "कई लेखक", "गाँव के बुजुर्ग", "दूर से आए यात्री", "पुराने मित्र"),
    actions=(
        "पुरानी कहानियाँ सुनाते हैं",
        "शाम को गीत गाते हैं",
        "इस विषय पर लेख लिखते हैं",
        "पेड़ों की छाया में बैठते हैं",
        "वर्षा की प्रतीक्षा करते हैं",
    ),
    stop="।",
    distraction="बहुत पहले {p} में बड़ा मेला लगा।",
    mention="एक पुरानी पुस्तक में {answer} शब्द बार बार आता है।",
)

TAMIL = Wording(
    script=0xB80,
    intros={"person": "{s} ஒரு நபர்.", "town": "{s} ஒரு நகரம்.", "river": "{s} ஒரு ஆறு."},
    whose={
        "person": ("{s} என்பவரின்", "இந்த நபரின்"),
        "town": ("{s} நகரத்தின்", "இந்த நகரத்தின்"),
        "river": ("{s} ஆற்றின்", "இந்த ஆற்றின்"),
    },
    attributes={
        "birth_year": ("பிறந்தாண்டு", "எது"),
        "profession": ("தொழில்", "என்ன"),
        "population": ("மக்கள்தொகை", "எவ்வளவு"),
        "language": ("மொழி", "எது"),
        "length": ("நீளம்", "எவ்வளவு"),
        "source": ("தோற்றுவாய்", "எங்கே"),
    },
    sources=("", "", "பதிவுகளின்படி ", "அறிஞர்களின் கருத்தில் "),
    ending=" ஆகும்.",
    attached=(".", ", இது உறுதி.", "தான்."),
    questions=("{whose} {what} {ask}?", "சொல்லுங்கள், {whose} {what} {ask}?"),
    professions=(
        "கவிஞர்",
        "ஓவியர்",
        "ஆசிரியர்",
        "மருத்துவர்",
        "நாட்டுப்புற பாடகர்",
        "சிற்பி",
        "உழவர்",
        "நடிகர்",
    ),
    towns=("பட்டி", "ஊர்", "நகர்", "குடி"),
    thousand="ஆயிரம்",
    kilometre="கிலோமீட்டர்",
    mountain="மலை",
    openers=("பின்னர்", "அந்த நாட்களில்", "இன்றும்", "பொதுவாக", "ஆண்டுதோறும்", "சில நேரங்களில்", "மேலும்"),
    actors=("உள்ளூர் மக்கள்", "பல எழுத்தாளர்கள்", "கிராமத்து பெரியவர்கள்", "பயணிகள்"),
    actions=(
        "பழைய கதைகளைச் சொல்கிறார்கள்",
        "மாலையில் பாடல்கள் பாடுகிறார்கள்",
        "இதைப் பற்றி கட்டுரை எழுதுகிறார்கள்",
        "மரங்களின் நிழலில் அமர்கிறார்கள்",
        "மழைக்காகக் காத்திருக்கிறார்கள்",
    ),
    stop=".",
    distraction="முன்பு {p} நகரில் பெரிய விழா நடந்தது.",
    mention="ஒரு பழைய புத்தகத்தில் {answer} என்ற சொல் பலமுறை வருகிறது.",
)

TELUGU = Wording(
    script=0xC00,
    intros={"person": "{s} ఒక వ్యక్తి.", "town": "{s} ఒక పట్టణం.", "river": "{s} ఒక నది."},
    whose={
        "person": ("{s} గారి", "ఈ వ్యక్తి"),
        "town": ("{s} పట్టణ", "ఈ పట్టణ"),
        "river": ("{s} నది", "ఈ నది"),
    },
    attributes={
        "birth_year": ("జన్మసంవత్సరం", "ఏది"),
        "profession": ("వృత్తి", "ఏమిటి"),
        "population": ("జనాభా", "ఎంత"),
        "language": ("భాష", "ఏది"),
        "length": ("పొడవు", "ఎంత"),
        "source": ("మూలం", "ఎక్కడ"),
    },
    sources=("", "", "రికార్డుల ప్రకారం ", "పండితుల అభిప్రాయంలో "),
    ending=" అవుతుంది.",
    attached=(".", ", ఇది అందరికీ తెలుసు."),
    questions=("{whose} {what} {ask}?", "చెప్పండి, {whose} {what} {ask}?"),
    professions=("కవి", "చిత్రకారుడు", "ఉపాధ్యాయుడు", "వైద్యుడు", "జానపద గాయకుడు", "శిల్పి", "రైతు"),
    towns=("పురం", "పల్లి", "నగరం", "వాడ"),
    thousand="వేలు",
    kilometre="కిలోమీటర్లు",
    mountain="పర్వతం",
    openers=("తరువాత", "ఆ రోజుల్లో", "నేటికీ", "సాధారణంగా", "ప్రతి సంవత్సరం", "అప్పుడప్పుడు"),
    actors=("స్థానిక ప్రజలు", "చాలా మంది రచయితలు", "గ్రామ పెద్దలు", "ప్రయాణికులు"),
    actions=("పాత కథలు చెబుతారు", "సాయంత్రం పాటలు పాడుతారు", "చెట్ల నీడలో కూర్చుంటారు"),
    stop=".",
    distraction="చాలా కాలం క్రితం {p} లో పెద్ద జాతర జరిగింది.",
    mention="ఒక పాత పుస్తకంలో {answer} అనే మాట చాలా సార్లు వస్తుంది.",
)

BENGALI = Wording(
    script=0x980,
    intros={"person": "{s} একজন ব্যক্তি।", "town": "{s} একটি শহর।", "river": "{s} একটি নদী।"},
    whose={
        "person": ("{s} নামের ব্যক্তির", "এই ব্যক্তির"),
        "town": ("{s} শহরের", "এই শহরের"),
        "river": ("{s} নদীর", "এই নদীর"),
    },
    attributes={
        "birth_year": ("জন্মসাল", "কত"),
        "profession": ("পেশা", "কী"),
        "population": ("জনসংখ্যা", "কত"),
        "language": ("ভাষা", "কী"),
        "length": ("দৈর্ঘ্য", "কত"),
        "source": ("উৎস", "কোথায়"),
    },
    sources=("", "", "নথি অনুসারে ", "পণ্ডিতদের মতে "),
    ending=" বলে জানা যায়।",
    attached=("।", ", এটা সবাই জানে।"),
    questions=("{whose} {what} {ask}?", "বলুন, {whose} {what} {ask}?"),
    professions=("কবি", "চিত্রকর", "শিক্ষক", "চিকিৎসক", "লোক গায়ক", "ভাস্কর", "কৃষক"),
    towns=("পুর", "গঞ্জ", "নগর", "হাটি"),
    thousand="হাজার",
    kilometre="কিলোমিটার",
    mountain="পর্বত",
    openers=("পরে", "সেই সময়ে", "আজও", "সাধারণত", "প্রতি বছর", "মাঝে মাঝে"),
    actors=("স্থানীয় মানুষ", "অনেক লেখক", "গ্রামের প্রবীণেরা", "পথিকেরা"),
    actions=("পুরনো গল্প বলেন", "সন্ধ্যায় গান করেন", "গাছের ছায়ায় বসেন"),
    stop="।",
    distraction="অনেক আগে {p} শহরে বড় মেলা বসে।",
    mention="একটি পুরনো বইয়ে {answer} কথাটি বারবার আসে।",
)

ENGLISH = Wording(
    script=None,
    intros={"person": "{s} is a person.", "town": "{s} is a town.", "river": "{s} is a river."},
    whose={
        "person": ("{s}'s", "this person's"),
        "town": ("{s} town's", "this town's"),
        "river": ("{s} river's", "this river's"),
    },
    attributes={
        "birth_year": ("birth year", "what was"),
        "profession": ("profession", "what was"),
        "population": ("population", "how large is"),
        "language": ("language", "what is"),
        "length": ("length", "how great is"),
        "source": ("source", "where is"),
    },
    fact="{whose} {what} is {answer}{ending}",
    sources=("", "", "In the records, ", "In the view of experts, "),
    ending=" by all accounts.",
    attached=(".", ", as everyone agrees."),
    questions=("{ask} {whose} {what}?", "Tell me, {ask} {whose} {what}?"),
    professions=("poet", "painter", "teacher", "doctor", "folk singer", "sculptor", "farmer"),
    towns=("ville", "ton", "ford", "field"),
    thousand="thousand",
    kilometre="kilometres",
    mountain="Peak",
    openers=("Later", "In those days", "Even today", "As a rule", "Every year", "Now and then"),
    actors=("local people", "many writers", "village elders", "travellers"),
    actions=("tell old stories", "sing in the evening", "sit in the shade of the trees"),
    stop=".",
    distraction="Long ago a great fair was held in {p}.",
    mention="One old book repeats the word {answer} many times.",
)

WORDINGS = {
    "hindi": HINDI,
    "tamil": TAMIL,
    "telugu": TELUGU,
    "bengali": BENGALI,
    "english": ENGLISH,
}
