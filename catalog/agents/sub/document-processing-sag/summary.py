"""Which sentences stand for a text: those whose words come up most in it. Nothing is reworded."""

import re
from collections import Counter

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+")
_COMMON = (
    "a an and are as at be been but by can for from had has have if in into is it its may more no not of on or our so "
    "than that the their them there these they this to was we were which will with you your"
)


def summary_of(paragraphs, count):
    """Give the `count` weightiest sentences in the order of the text."""
    sentences = [sentence for paragraph in paragraphs for sentence in _SENTENCE_END.split(paragraph) if sentence]
    common = frozenset(_COMMON.split())
    words = [_words(sentence, common) for sentence in sentences]
    frequency = Counter(word for each in words for word in each)
    weights = [sum(frequency[word] for word in each) / (len(each) or 1) for each in words]
    heaviest = sorted(range(len(sentences)), key=lambda index: (-weights[index], index))[:count]
    return " ".join(sentences[index] for index in sorted(heaviest))


def _words(sentence, common):
    return [word for word in _WORD.findall(sentence.lower()) if word not in common]
