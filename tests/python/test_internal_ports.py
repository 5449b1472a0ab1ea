"""What the internal ports of real nodes refuse, asked by a second implementation in Python.

The first test is the one that succeeds: without it the others would prove nothing.
"""

import http.client
import shutil
import ssl
import subprocess
import sys
import time

import pytest

from cluster import ROOT, new_secret
from peer import Peer

NODES = ["discovery", "worker"]
NOBODYS_TASK = "/v1/task/20261122_020500_00000_ab2cd.0.0.0/status"


@pytest.fixture(params=NODES)
def target(request, cluster):
    """A node, and a path that a coordinator may ask it for."""
    if request.param == "discovery":
        return cluster.discovery, "/v1/nodes"
    return cluster.workers[0], NOBODYS_TASK


def audience(node):
    return f"test/{node.role}"


def ask(peer, target, token, **options):
    node, path = target
    return peer.ask(node.https, path, token, **options)


def test_a_right_certificate_and_token_are_let_in(cluster, target, tmp_path):
    peer = Peer(cluster.secret, tmp_path)
    status, body = ask(peer, target, peer.token(peer.claims(audience(target[0]))))
    # No such task, or not meant for this incarnation: both come from behind the door.
    assert status in ((200,) if target[0].role == "discovery" else (400, 404, 409)), body


def test_plain_http_is_refused(cluster, target):
    connection = http.client.HTTPConnection("127.0.0.1", target[0].https, timeout=10)
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.request("GET", target[1])
        connection.getresponse()


def test_tls_1_2_is_refused(cluster, target, tmp_path):
    peer = Peer(cluster.secret, tmp_path)
    with pytest.raises(ssl.SSLError, match="(?i)version|handshake"):
        ask(peer, target, None, context=peer.context(version=ssl.TLSVersion.TLSv1_2))


WRONG_CERTIFICATES = {
    "self-signed": {"self_signed": True},
    "expired": {"starts": -7200, "ends": -3600},
    "not yet valid": {"starts": 3600, "ends": 7200},
}


def test_no_certificate_is_refused(cluster, target, tmp_path):
    peer = Peer(cluster.secret, tmp_path)
    with pytest.raises(OSError):
        ask(peer, target, None, context=peer.context(with_certificate=False))


@pytest.mark.parametrize("wrong", WRONG_CERTIFICATES)
def test_a_wrong_certificate_is_refused(cluster, target, tmp_path, wrong):
    peer = Peer(cluster.secret, tmp_path, **WRONG_CERTIFICATES[wrong])
    with pytest.raises(OSError):
        ask(peer, target, peer.token(peer.claims(audience(target[0]))))


def test_a_certificate_of_another_secret_is_refused(cluster, target, tmp_path):
    right = Peer(cluster.secret, tmp_path)
    context = right.context(with_certificate=False)
    context.load_cert_chain(Peer(new_secret(), tmp_path).certificate)
    with pytest.raises(OSError):
        ask(right, target, None, context=context)


@pytest.mark.parametrize("other", [{"role": "discovery"}, {"environment": "other"}])
def test_a_certificate_of_another_role_or_environment_is_refused(cluster, tmp_path, other):
    """A task is created and watched by coordinators of the same environment alone."""
    peer = Peer(cluster.secret, tmp_path, **other)
    token = peer.token(peer.claims("test/worker"))
    try:
        status, _ = ask(peer, (cluster.workers[0], NOBODYS_TASK), token)
    except OSError:
        return  # refused at the door
    assert status in (401, 403)


def test_no_token_is_refused(cluster, target, tmp_path):
    status, body = ask(Peer(cluster.secret, tmp_path), target, None)
    assert status == 401 and body


NOW = int(time.time())
WRONG_CLAIMS = {
    **{f"no {claim}": {claim: None} for claim in ["exp", "iat", "nbf", "iss", "sub", "aud", "cnf"]},
    "expired": {"exp": NOW - 600, "iat": NOW - 660, "nbf": NOW - 660},
    "not yet valid": {"iat": NOW + 3600, "nbf": NOW + 3600, "exp": NOW + 3660},
    "lives too long": {"exp": NOW + 86_400},
    "another environment's audience": {"aud": "other/worker"},
    "another role's audience": {"aud": "test/coordinator"},
    "another environment's issuer": {"iss": "other/coordinator"},
    "an issuer of no role": {"iss": "test"},
    "another certificate": {"cnf": {"x5t#S256": "A" * 43}},
    "no certificate in cnf": {"cnf": {}},
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS)
def test_a_wrong_claim_is_refused(cluster, target, tmp_path, wrong):
    peer = Peer(cluster.secret, tmp_path)
    status, body = ask(peer, target, peer.token(peer.claims(audience(target[0]), **WRONG_CLAIMS[wrong])))
    assert status == 401, body
    assert body, "a 401 says why"


def test_wrong_signatures_and_headers_are_refused(cluster, target, tmp_path):
    peer = Peer(cluster.secret, tmp_path)
    claims = peer.claims(audience(target[0]))
    right = peer.token(claims)
    head, body, signature = right.split(".")
    none = peer.token(claims, header={"alg": "none"}).rsplit(".", 1)[0]
    attacks = {
        "another key": peer.token(claims, key=b"k" * 32),
        "alg none": none + ".",
        "alg None": peer.token(claims, header={"alg": "NoNe"}),
        "alg HS512": peer.token(claims, header={"alg": "HS512"}),
        "another kid": peer.token(claims, header={"kid": "0" * 16}),
        "a key in the header": peer.token(claims, header={"jwk": {"kty": "oct", "k": "AAAA"}}),
        "no signature": f"{head}.{body}.",
        "a changed signature": f"{head}.{body}.{signature[::-1]}",
        "changed claims": f"{head}.{body[:-2]}AA.{signature}",
        "no token": "x",
        "two parts": f"{head}.{body}",
    }
    for name, token in attacks.items():
        assert ask(peer, target, token)[0] == 401, name
    assert ask(peer, target, right)[0] != 401


def test_a_token_of_one_megabyte_is_refused(cluster, target, tmp_path):
    peer = Peer(cluster.secret, tmp_path)
    try:
        status, _ = ask(peer, target, "e" * (1 << 20))
        assert status in (400, 401, 431)
    except OSError:
        pass  # cut off
    assert ask(peer, target, peer.token(peer.claims(audience(target[0]))))[0] != 401


def test_the_documented_derivation_holds(tmp_path):
    """The second implementation checks the documented vectors, and can fail."""
    folder = ROOT / "docs/security"
    for name in ["derivation.py", "derivation.md"]:
        shutil.copy(folder / name, tmp_path / name)

    def check():
        return subprocess.run([sys.executable, tmp_path / "derivation.py"], capture_output=True, text=True, timeout=60)

    assert check().returncode == 0, check().stdout
    document = tmp_path / "derivation.md"
    document.write_text(document.read_text().replace("waterbear/1/token-key = 6", "waterbear/1/token-key = 7", 1))
    assert check().returncode != 0, check().stdout
