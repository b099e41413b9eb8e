"""Sends one HTTP request. What the answer leaves open, whether it acted, is said as a timeout and never guessed."""

from magsag import Retryable, StepFailed

REPEATED = {429: "rate_limit", 503: "unavailable"}
UNCLEAR = {502, 504}
LARGEST_BYTES = 16 * 1024 * 1024


async def run(payload, ctx):
    """The gate's timeout ends it; there is no other."""
    import httpx2

    headers = dict(payload.get("headers", {}))
    if payload["method"] not in ("GET", "HEAD"):
        headers["Idempotency-Key"] = ctx.idempotency_key
    request = {"params": payload.get("query"), "headers": headers}
    if "body" in payload:
        request["json"] = payload["body"]
    try:
        async with (
            ctx.http(timeout=None) as client,
            client.stream(payload["method"], payload["url"], **request) as answer,
        ):
            body = await _body(answer)
    except httpx2.ConnectError as error:
        raise Retryable("unavailable", f"{payload['url']} cannot be reached: {error}") from error
    except (httpx2.InvalidURL, httpx2.LocalProtocolError) as error:
        raise StepFailed("invalid_value", f"{payload['url']} cannot be asked: {error}") from error
    except httpx2.TransportError as error:
        raise StepFailed("timeout", f"{payload['url']} gave no answer: {error or type(error).__name__}") from error
    _check(answer, body)
    return {"status": answer.status_code, "headers": dict(answer.headers), "body": body}


async def _body(answer):
    data = bytearray()
    async for piece in answer.aiter_bytes():
        data += piece
        if len(data) > LARGEST_BYTES:
            raise StepFailed("raised", f"{answer.url} answers with more than {LARGEST_BYTES} bytes")
    text = data.decode(answer.encoding or "utf-8", "replace")
    if text and "json" in answer.headers.get("content-type", ""):
        import json

        try:
            return json.loads(text)
        except ValueError:
            return text
    return text or None


def _check(answer, body):
    """Raise for an answer that is none."""
    if answer.status_code < 400:
        return
    said = f"{answer.request.method} {answer.url} answered {answer.status_code} {answer.reason_phrase}"
    if answer.status_code in REPEATED:
        after = answer.headers.get("retry-after", "")
        raise Retryable(REPEATED[answer.status_code], said, float(after) if after.isdigit() else None)
    type = "timeout" if answer.status_code in UNCLEAR else "raised"
    raise StepFailed(type, said, {"status": answer.status_code, "body": body})
