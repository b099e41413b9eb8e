"""What in a text names something: URLs, e-mail addresses, dates, amounts of money, names."""

import re
from itertools import dropwhile

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_CURRENCY = "(?:USD|EUR|GBP|JPY|CHF)"
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"

# Each pattern starts only where a word or number starts, so that a long run of letters or digits is read once.
_PATTERNS = {
    "urls": r"https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]",
    "emails": r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    "dates": rf"(?<!\d)\d{{4}}-\d{{2}}-\d{{2}}(?!\d)|(?<!\w)(?:\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}}, \d{{4}})",
    "amounts": (
        rf"(?:(?<!\w){_CURRENCY} ?|[$€£¥] ?){_NUMBER}(?: (?:million|billion)|[kKmM]\b)?"
        rf"|(?<![\d.,]){_NUMBER}(?: (?:million|billion))? ?(?:{_CURRENCY}(?!\w)|dollars|euros|pounds)"
    ),
}
_COMPILED = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}
_WORD = re.compile(r"\w[\w'’-]*")
_NO_NAMES = "A An And As At But By For From He I If In It On Or She The They This To We With You"


def entities_of(text):
    """Give each kind's finds once, in the order of the text; what was found as one kind is no other."""
    found = {}
    for kind, pattern in _COMPILED.items():
        found[kind] = _unique(match[0] for match in pattern.finditer(text))
        text = pattern.sub("\n", text)
    return found | {"names": _unique(_names(text))}


def _names(text):
    """Capitalised words in a row. A single one at the start of a sentence says nothing, so it does not count."""
    no_names = frozenset(_NO_NAMES.split())
    for run in _capitalised_runs(text):
        name = list(dropwhile(lambda word: word[0] in no_names, run))
        if len(name) > 1 or (name and not _opens_sentence(text, name[0].start())):
            yield " ".join(word[0] for word in name)


def _capitalised_runs(text):
    run = []
    for word in _WORD.finditer(text):
        is_capitalised = word[0][0].isupper()
        if run and not (is_capitalised and text[run[-1].end() : word.start()] == " "):
            yield run
            run = []
        if is_capitalised:
            run.append(word)
    if run:
        yield run


def _opens_sentence(text, start):
    before = text[max(0, start - 4) : start].strip(" \t\"'(*_#>-")
    return not before or before[-1] in ".!?:\n"


def _unique(found):
    return list(dict.fromkeys(found))
