"""Where a ledger is, told without its password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.location import is_postgres, shown, without_secrets

SECRET = "pass+word%40x"


@pytest.mark.parametrize("dsn", ["postgresql://me@host/db", "postgres://host", "POSTGRESQL://h/d?schema=a"])
def test_a_dsn_names_a_database(dsn: str) -> None:
    assert is_postgres(dsn)
    assert shown(dsn) == dsn


@pytest.mark.parametrize("file", [".magsag/ledger.db", "/data/postgresql.db", "mysql://host/db"])
def test_anything_else_does_not(file: str) -> None:
    assert not is_postgres(file)
    assert shown(file) == file


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        (f"postgresql://me:{SECRET}@host:5432/db", "postgresql://me:***@host:5432/db"),
        (f"postgresql://me@/db?host=/run/x&password={SECRET}", "postgresql://me@/db?host=/run/x&password=***"),
        (f"postgresql://h/db?sslpassword={SECRET}&schema=a", "postgresql://h/db?sslpassword=***&schema=a"),
        (f"postgresql://me:{SECRET}@[::1:1/db", "postgresql://me:***@[::1:1/db"),
        (f"postgresql://me:why?{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://me:a@{SECRET}@host/db", "postgresql://me:***@host/db"),
    ],
)
def test_a_password_is_hidden_whatever_else_is_wrong(dsn: str, said: str) -> None:
    assert shown(dsn) == said


def test_a_foreign_message_is_told_without_it() -> None:
    dsn = f"postgresql://me:{SECRET}@host/db"
    said = without_secrets(f'bad URI "{dsn}", password pass+word@x', dsn)
    assert said == 'bad URI "postgresql://me:***@host/db", password ***'


@given(st.text(min_size=4).filter(lambda text: "*" not in text and not any(c in text for c in "@/?#&=:")))
def test_no_password_is_left(password: str) -> None:
    dsn = f"postgresql://u:{password}@h.example/d"
    assert password not in shown(dsn).replace("postgresql://u:***@h.example/d", "")
    assert password not in without_secrets(f"no {dsn} here", dsn).replace("no postgresql://u:***@h.example/d here", "")
