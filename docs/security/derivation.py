#!/usr/bin/env python3
"""Derives a cluster's keys and its CA certificate a second time, in plain Python.

Reads the test vectors of derivation.md (beside this file) and checks each value of each vector.
Nothing but the standard library is used: HKDF is written out from RFC 5869, Ed25519 from RFC 8032,
the certificate byte by byte. Slow, not constant in time, and meant for checking only. Where the
package `cryptography` is there, it checks the certificate a third time.

    python3 docs/security/derivation.py            check the vectors; exit 1 on a difference
    python3 docs/security/derivation.py --print    print the vector of the secret on standard input
"""

import hashlib
import hmac
import pathlib
import sys

LABELS = {  # label: bytes
    "waterbear/1/cluster-ca": 32,
    "waterbear/1/token-key": 32,
    "waterbear/1/token-key-id": 8,
    "waterbear/1/spool-namespace": 4,
}


# --- HKDF-SHA256, RFC 5869 ---


def hkdf(secret: bytes, label: str, length: int) -> bytes:
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(key, block + label.encode() + bytes([counter]), hashlib.sha256).digest()
        output += block
        counter += 1
    return output[:length]


# --- Ed25519, RFC 8032 section 5.1 ---

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    return ((f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P)


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def compress(point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def expand_seed(seed: bytes):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ((1 << 254) - 8) | 1 << 254, digest[32:]


def ed25519_public(seed: bytes) -> bytes:
    return compress(multiply(expand_seed(seed)[0], BASE))


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    def number(data: bytes) -> int:
        return int.from_bytes(hashlib.sha512(data).digest(), "little") % Q

    scalar, prefix = expand_seed(seed)
    public = ed25519_public(seed)
    r = number(prefix + message)
    commitment = compress(multiply(r, BASE))
    s = (r + number(commitment + public + message) * scalar) % Q
    return commitment + s.to_bytes(32, "little")


# --- The CA certificate: DER, RFC 5280 and RFC 8410 ---


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def oid(*numbers: int) -> bytes:
    content = bytes([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return der(0x06, content)


def bits(content: bytes, unused: int = 0) -> bytes:
    return der(0x03, bytes([unused]), content)


def extension(identifier: bytes, value: bytes, critical: bool) -> bytes:
    return sequence(identifier, der(0x01, b"\xff") if critical else b"", der(0x04, value))


def ca_certificate(seed: bytes) -> bytes:
    ed25519 = sequence(oid(1, 3, 101, 112))
    key = sequence(ed25519, bits(ed25519_public(seed)))
    name = sequence(der(0x31, sequence(oid(2, 5, 4, 3), der(0x0C, b"Waterbear Cluster CA"))))
    key_id = hashlib.sha256(key).digest()[:20]
    extensions = sequence(
        extension(oid(2, 5, 29, 15), bits(b"\x04", unused=2), critical=True),  # keyCertSign
        extension(oid(2, 5, 29, 14), der(0x04, key_id), critical=False),  # subjectKeyIdentifier
        # basicConstraints: a CA, and no CA below it
        extension(oid(2, 5, 29, 19), sequence(der(0x01, b"\xff"), der(0x02, b"\x00")), critical=True),
    )
    to_be_signed = sequence(
        der(0xA0, der(0x02, b"\x02")),  # version 3
        der(0x02, b"\x01"),  # serial number
        ed25519,
        name,
        sequence(der(0x17, b"000101000000Z"), der(0x18, b"99991231235959Z")),
        name,
        key,
        der(0xA3, extensions),
    )
    return sequence(to_be_signed, ed25519, bits(ed25519_sign(seed, to_be_signed)))


# --- The vectors ---


def derive(secret: bytes) -> dict:
    values = {label: hkdf(secret, label, length) for label, length in LABELS.items()}
    certificate = ca_certificate(values["waterbear/1/cluster-ca"])
    derived = {name: value.hex() for name, value in values.items()}
    derived["CA public key"] = ed25519_public(values["waterbear/1/cluster-ca"]).hex()
    derived["CA certificate DER"] = certificate.hex()
    derived["SHA-256 of the CA certificate DER"] = hashlib.sha256(certificate).hexdigest()
    return derived


def documented() -> list:
    text = pathlib.Path(__file__).with_name("derivation.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```vector\n")[1:]]
    return [dict(line.split(" = ", 1) for line in block.splitlines()) for block in blocks]


def check_with_cryptography(vector: dict) -> str:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    except ImportError:
        return "skipped: the package 'cryptography' is not there"
    certificate = x509.load_der_x509_certificate(bytes.fromhex(vector["CA certificate DER"]))
    public = certificate.public_key()
    if public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex() != vector["CA public key"]:
        return "DIFFERS: public key"
    public.verify(certificate.signature, certificate.tbs_certificate_bytes)
    return "ok"


def main() -> int:
    if sys.argv[1:] == ["--print"]:
        secret = "".join(sys.stdin.read().split())
        print("secret =", secret)
        for name, value in derive(secret.encode()).items():
            print(name, "=", value)
        return 0
    vectors = documented()
    if not vectors:
        print("derivation.md has no vectors")
        return 1
    failed = 0
    for number, vector in enumerate(vectors, 1):
        derived = derive(vector["secret"].encode())
        if set(derived) | {"secret"} != set(vector):
            print(f"vector {number}: names DIFFER: {sorted(set(derived) ^ (set(vector) - {'secret'}))}")
            failed += 1
        for name, value in derived.items():
            same = vector.get(name) == value
            failed += not same
            print(f"vector {number}: {name}: {'ok' if same else 'DIFFERS: derived ' + value}")
        result = check_with_cryptography(vector)
        failed += result.startswith("DIFFERS")
        print(f"vector {number}: certificate by the package 'cryptography': {result}")
    print("failed" if failed else "all ok")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
