"""Finds a text in the files of the workspace: a plain one, since a pattern of a stranger's could take for ever."""

from fnmatch import fnmatchcase

from magsag import StepFailed

LARGEST_BYTES = 1024 * 1024
MOST_MATCHES = 200
MOST_FILES = 10_000
LONGEST_LINE = 500


def run(payload, ctx):
    """Walk in the order of the paths; stop when there is more than anybody reads."""
    sought, matches, passed_over = _folded(payload, payload["text"]), [], 0
    for number, path in enumerate(ctx.files.walk(payload.get("folder", ""))):
        if number >= MOST_FILES:
            raise StepFailed("raised", f"there are more than {MOST_FILES} files: name a `folder`")
        if not fnmatchcase(path.rpartition("/")[2], payload.get("name", "*")):
            continue
        text = _text(ctx, path)
        if text is None:
            passed_over += 1
            continue
        for at, line in enumerate(text.splitlines(), 1):
            if sought in _folded(payload, line):
                matches.append({"path": path, "line": at, "text": line[:LONGEST_LINE]})
        if len(matches) > MOST_MATCHES:
            break
    return {"matches": matches[:MOST_MATCHES], "more": len(matches) > MOST_MATCHES, "passed_over": passed_over}


def _folded(payload, text):
    return text.casefold() if payload.get("ignore_case") else text


def _text(ctx, path):
    """None for what is too large, or no text; a file that was there a moment ago may be gone."""
    try:
        data = ctx.files.read(path, LARGEST_BYTES)
        return None if b"\0" in data else data.decode("utf-8")
    except (StepFailed, UnicodeDecodeError):
        return None
