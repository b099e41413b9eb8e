"""Which MAGSAG this is."""


def version() -> str:
    """As it was installed; `0+source` of a source tree that nobody installed."""
    from importlib.metadata import PackageNotFoundError, version  # only those who ask pay for it

    try:
        return version("magsag")
    except PackageNotFoundError:
        return "0+source"
