"""Sends a letter to a mail sink, and asks the sink whether it has one.

Put your mail provider in the sink's place here: send under the key, and look a letter up by its key.
"""

import json
import os
import urllib.error
import urllib.request

from magsag import Retryable, StepFailed

SINK = "http://127.0.0.1:8025"
ANSWER_SECONDS = 15


def run(letter, ctx):
    """Send. What leaves it open whether the letter arrived is a timeout, so that `find_sent` is asked."""
    body = json.dumps(letter).encode()
    headers = {"Idempotency-Key": ctx.idempotency_key, "Content-Type": "application/json", **_login(ctx)}
    try:
        _ask(urllib.request.Request(f"{_sink()}/mail", body, headers))
    except urllib.error.HTTPError as error:
        if error.code == 429:
            raise Retryable("rate_limit", f"the mail sink takes no more now: {error.reason}") from error
        raise StepFailed("raised", f"the mail sink refused the letter: {error.code} {error.reason}") from error
    except ConnectionRefusedError as error:
        raise StepFailed("unavailable", f"nobody listens at {_sink()}: start a mail sink") from error
    except OSError as error:
        raise StepFailed("timeout", f"the mail sink gave no answer: {error}") from error
    return _receipt(letter, ctx)


def find_sent(letter, ctx):
    """Whether the sink has a letter under this key."""
    try:
        _ask(urllib.request.Request(f"{_sink()}/{ctx.idempotency_key}", headers=_login(ctx)))
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return {"found": False}
    return {"found": True, "output": _receipt(letter, ctx)}


def _login(ctx):
    """Who sends, where the sink wants to know; the token is read anew for every attempt."""
    token = ctx.secret("MAIL_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _ask(request):
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except urllib.error.URLError as error:
        raise (error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason))) from error


def _receipt(letter, ctx):
    return {"message_id": ctx.idempotency_key, "to": letter["to"], "sink": _sink()}


def _sink():
    return os.environ.get("MAIL_SINK", SINK).rstrip("/")
