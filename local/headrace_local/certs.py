"""Certificate authorities and the certificates they sign (ECDSA P-256: a key takes well under a millisecond)."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class KeyPair:
    """A PEM certificate and its PEM private key, as files."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority with the files `<folder>/<name>.crt` and `.key`, which it creates on first use."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
        if not self.pair.cert.exists():
            self._make(name)
        self._cert = x509.load_pem_x509_certificate(self.pair.cert.read_bytes())
        key = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def client(self, file_name: str, common_name: str, organizations: Sequence[str] = ()) -> KeyPair:
        """A client certificate; Kubernetes reads the user from CN and the groups from O."""
        return self._issue(file_name, _name(common_name, organizations), [ExtendedKeyUsageOID.CLIENT_AUTH], [])

    def server(self, file_name: str, common_name: str, addresses: Sequence[str]) -> KeyPair:
        """A server certificate for these DNS names and IP addresses; it may also act as a client (etcd's peers)."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(file_name, _name(common_name), usages, addresses)

    def _make(self, name: str) -> None:
        key = write_signing_key(self.pair.key)
        subject = _name(f"headrace-{name}")
        cert = (
            _builder(subject, subject, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.pair.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))

    def _issue(
        self,
        file_name: str,
        subject: x509.Name,
        usages: list[x509.ObjectIdentifier],
        addresses: Sequence[str],
    ) -> KeyPair:
        pair = KeyPair(self.folder / f"{file_name}.crt", self.folder / f"{file_name}.key")
        key = write_signing_key(pair.key)
        builder = (
            _builder(subject, self._cert.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        if addresses:
            alternatives = x509.SubjectAlternativeName([_general_name(address) for address in addresses])
            builder = builder.add_extension(alternatives, critical=False)
        cert = builder.sign(self._key, hashes.SHA256())
        pair.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        return pair


def write_signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Creates a private key in a file that only its owner can read; the key that signs account tokens is one, too."""
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,  # the only format the API server accepts for its token key
            serialization.NoEncryption(),
        )
    )
    return key


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
