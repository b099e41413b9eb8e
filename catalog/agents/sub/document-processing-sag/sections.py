"""Where the sections and paragraphs of a text begin and end. Headings are lines that start with one to six #."""

import re

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_LIST_MARK = re.compile(r"\s*(?:[-*+>]|\d+[.)])\s+")


def sections_of(text, form):
    """Split at headings; what stands before the first one is a section of level 0 without a title."""
    sections = [{"level": 0, "title": "", "text": []}]
    fence = None
    for line in text.splitlines():
        fence = _fence_after(fence, line)
        heading = _HEADING.fullmatch(line) if form == "markdown" and fence is None else None
        if heading:
            sections.append({"level": len(heading[1]), "title": _title(heading[2] or ""), "text": []})
        else:
            sections[-1]["text"].append(line)
    for section in sections:
        section["text"] = "\n".join(section["text"]).strip()
    return [section for section in sections if section["level"] or section["text"]]


def paragraphs_of(text):
    """Give the paragraphs as they would be read aloud: no code, no list marks, one line each."""
    lines, fence = [], None
    for line in text.splitlines():
        before, fence = fence, _fence_after(fence, line)
        is_code = before is not None or fence is not None
        mark = _LIST_MARK.match(line)
        if lines and (is_code or mark or not line.strip()):
            yield " ".join(lines)
            lines = []
        if not is_code and line.strip():
            lines.append(line[mark.end() if mark else 0 :].strip())
    if lines:
        yield " ".join(lines)


def _title(written):
    """Without the closing marks of `## Title ##`; the one in `C#` belongs to the title."""
    title = written.strip()
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1].isspace() else title


def _fence_after(fence, line):
    """The mark of the code block that is open after this line, or None."""
    found = _FENCE.match(line)
    if found is None:
        return fence
    if fence is None:
        return found[1]
    return None if found[1] == fence else fence
