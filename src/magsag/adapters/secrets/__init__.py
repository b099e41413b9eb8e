"""Reads secrets from the environment, from files and from the operating system's keyring."""

from magsag.adapters.secrets.sources import SecretSources

__all__ = ["SecretSources"]
