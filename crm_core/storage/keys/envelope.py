"""The envelope of a sealed value: AES-256-GCM, under a key that is named by its id, bound to the place where the value stands.

As text: format and algorithm (a character each), key id (16 hexadecimal digits), then nonce, ciphertext and tag in base64. Format,
algorithm, key id and place are authenticated with it, each with its length before it, so no two places have one description. The key is
chosen by its id alone, never tried: GCM does not commit to a key.
"""

from __future__ import annotations

import os
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import Unreadable

KEY_BYTES = 32
_HEAD = "1A"  # format 1, AES-256-GCM
_NONCE = 12
_TAG = 16
_BLOCK = 16
_BODY = 18  # where nonce, ciphertext and tag begin


@attrs.frozen(eq=False)
class Key:
    """A key ready for use. It never shows its material."""

    id: str
    cipher: AESGCM = attrs.field(repr=False)


def fresh_bytes(count: int) -> bytes:
    """Return bytes of the operating system's randomness: the one thing that is not drawn from the CRM's runtime, see decision 25."""
    return os.urandom(count)


def key_of(id: str, material: bytes) -> Key:
    """Make a key of its 32 bytes.

    Raises:
        Unreadable: ``seal_broken``: it has another length.
    """
    if len(material) != KEY_BYTES:
        raise Unreadable("seal_broken")
    return Key(id, AESGCM(material))


def place(*parts: str) -> str:
    """Describe where a value stands, each part with its length before it."""
    return "".join(f"{len(part)}:{part}" for part in parts)


def seal(key: Key, where: str, text: str) -> str:
    """Encrypt *text* for the place *where*; its length shows in steps of 16 bytes."""
    nonce = fresh_bytes(_NONCE)
    plain = text.encode() + b"\x80"
    plain += b"\0" * (-len(plain) % _BLOCK)
    head = _HEAD + key.id
    body = nonce + key.cipher.encrypt(nonce, plain, f"{head}{where}".encode())
    return head + b2a_base64(body, newline=False).decode()


def key_id(envelope: str) -> str:
    """Return the id of the key that an envelope names.

    Raises:
        Unreadable: ``seal_broken``: it is no envelope of a format and algorithm that is known.
    """
    if not envelope.startswith(_HEAD):
        raise Unreadable("seal_broken")
    return envelope[len(_HEAD) : _BODY]


def unseal(key: Key, where: str, envelope: str) -> str:
    """Decrypt an envelope at the place *where*.

    Raises:
        Unreadable: ``seal_broken``: it was changed, cut, or belongs elsewhere.
    """
    try:
        text = envelope[_BODY:]
        body, head = a2b_base64(text), _HEAD + key.id
        # Base64 has spare bits and tolerates noise: only what we would write ourselves is taken.
        if not envelope.startswith(head) or b2a_base64(body, newline=False) != text.encode() or len(body) < _NONCE + _TAG:
            raise Unreadable("seal_broken")
        plain = key.cipher.decrypt(body[:_NONCE], body[_NONCE:], f"{head}{where}".encode())
        return plain[: plain.rindex(b"\x80")].decode()
    except (InvalidTag, NotBase64, ValueError) as e:
        raise Unreadable("seal_broken") from e
