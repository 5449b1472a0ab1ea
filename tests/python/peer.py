"""A second implementation of a node's identity: what docs/security/derivation.md says, in Python.

Makes certificates and tokens, right ones and wrong ones, and asks an internal port with them.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import importlib.util
import ipaddress
import json
import socket
import ssl
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster import ROOT


def load_derivation():
    spec = importlib.util.spec_from_file_location("derivation", ROOT / "docs/security/derivation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DERIVATION = load_derivation()


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Keys:
    """What is derived from a secret."""

    def __init__(self, secret):
        derived = DERIVATION.derive("".join(secret.split()).encode())
        self.ca_key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(derived["waterbear/1/cluster-ca"]))
        self.ca = x509.load_der_x509_certificate(bytes.fromhex(derived["CA certificate DER"]))
        self.token_key = bytes.fromhex(derived["waterbear/1/token-key"])
        self.token_key_id = derived["waterbear/1/token-key-id"]


def identity_name(role, node_id):
    return f"{hashlib.sha256(node_id.encode()).hexdigest()[:32]}.{role}.node.waterbear"


class Peer:
    """A node with a certificate; wrong in whatever way the arguments say."""

    def __init__(self, secret, folder, role="coordinator", environment="test", self_signed=False, starts=-300, ends=3600):
        self.keys, self.role, self.environment, self.node_id = Keys(secret), role, environment, "a-test"
        key = ec.generate_private_key(ec.SECP256R1())
        name = identity_name(role, self.node_id)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        names = [
            x509.DNSName(name),
            x509.UniformResourceIdentifier(f"waterbear://{environment}/{role}/{self.node_id}"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self.keys.ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(seconds=starts))
            .not_valid_after(now + datetime.timedelta(seconds=ends))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        )
        signed = builder.sign(key, hashes.SHA256()) if self_signed else builder.sign(self.keys.ca_key, None)
        self.certificate = folder / "peer.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.certificate.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
        self.thumbprint = hashlib.sha256(signed.public_bytes(serialization.Encoding.DER)).digest()

    def claims(self, audience, **changes):
        """The claims of a right token, with changes; a change to None leaves the claim out."""
        now = int(time.time())
        claims = {
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "iss": f"{self.environment}/{self.role}",
            "sub": self.node_id,
            "aud": audience,
            "cnf": {"x5t#S256": base64url(self.thumbprint)},
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, claims, header=None, key=None):
        header = {"typ": "JWT", "alg": "HS256", "kid": self.keys.token_key_id, **(header or {})}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = hmac.digest(key or self.keys.token_key, signed.encode(), "sha256")
        return f"{signed}.{base64url(signature)}"

    def context(self, with_certificate=True, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=self.keys.ca.public_bytes(serialization.Encoding.PEM).decode())
        if with_certificate:
            context.load_cert_chain(self.certificate)
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def ask(self, port, path, token=None, method="GET", context=None, headers=None, body=None):
        """Status and body; raises OSError (ssl.SSLError is one) where there is no answer."""
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            stream = (context or self.context()).wrap_socket(plain, server_hostname="127.0.0.1")
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.sock = stream
            fields = {**({"X-Trino-Internal-Bearer": token} if token else {}), **(headers or {})}
            connection.request(method, path, body=body, headers=fields)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
