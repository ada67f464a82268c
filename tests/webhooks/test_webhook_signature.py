"""The signature, checked by the very lines that the documents give to receivers."""

import re
import time
from pathlib import Path

import pytest

from jobs.webhooks.signing import new_secret, sealed_secret, signature, unsealed_secret
from mobilesd.sealed import seal, unseal

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "api" / "webhooks.md"
SECRET = "a secret of the tests"
BODY = '{"text":"ä"}'.encode()


def snippet():
    """Run the guide's Python block of the verification; return its function."""
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
        if "def verify(" in block
    ]
    names: dict = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    return names["verify"]


def verified(header: str, body: bytes, secret: str) -> bool:
    return bool(snippet()(header, body, secret))


def test_what_we_sign_is_what_the_guide_verifies():
    assert verified(signature(SECRET, BODY, int(time.time())), BODY, SECRET)


def test_a_fixed_example():
    # echo -n '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'a secret of the tests'
    assert signature(SECRET, b'{"a":1}', 1_700_000_000) == (
        "t=1700000000,v1=7b2992c1f41ac383ed7caf6d966ef2b7b897d4ad70fa29241394a7316e268e9e"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda header, body, secret: (header, body + b" ", secret),
        lambda header, body, secret: (header, body, secret + "x"),
        lambda header, body, secret: (header.replace("v1=", "v1=0"), body, secret),
        lambda header, body, secret: (re.sub(r"t=(\d+)", "t=1700000000", header), body, secret),
        lambda header, body, secret: ("", body, secret),
        lambda header, body, secret: ("t=x,v1=y", body, secret),
        lambda header, body, secret: ("nonsense", body, secret),
    ],
)
def test_anything_else_is_refused(change):
    header = signature(SECRET, BODY, int(time.time()))
    assert not verified(*change(header, BODY, SECRET))


def test_an_old_signature_is_refused_although_it_is_right():
    assert not verified(signature(SECRET, BODY, int(time.time()) - 301), BODY, SECRET)


def test_secrets_are_sealed_each_for_its_purpose(settings):
    secret = new_secret()
    sealed = sealed_secret(secret)
    assert secret not in sealed
    assert unsealed_secret(sealed) == secret
    assert unseal(sealed, purpose="server-password") == ""
    assert unseal(seal("x", purpose="a"), purpose="a") == "x"
    settings.SECRET_KEY = "another"
    assert unsealed_secret(sealed) == ""
