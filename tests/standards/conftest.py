"""A workshop for certificates of every shape, good and bad, and for what OpenSSL says about them.

`mxseal.lab.ca` makes what servers in the laboratory need; here it takes all
that RFC 5280 allows and forbids.  Keys are made once a session.
"""

import ctypes
import ctypes.util
import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256, sha512
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mxseal.standards.certificate import Certificate, der
from mxseal.vocabulary.observations import TlsaData

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@functools.cache
def key(name: str) -> Key:
    """The key of that name; ``rsa…-2048`` and the like are RSA keys of that size, all others P-256."""
    if name.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(name.rpartition("-")[2]))
    return ec.generate_private_key(ec.SECP256R1())


def spki_of_key(name: str) -> bytes:
    return (
        key(name)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def key_usage(*allowed: str) -> x509.KeyUsage:
    every = [
        *(
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
        ),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{name: name in allowed for name in every})


def distinguished_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


@functools.cache
def certify(
    subject: str,
    key_name: str,
    issuer: str | None = None,
    issuer_key: str | None = None,
    *,
    ca: bool | None = None,
    path_length: int | None = None,
    names: tuple[str, ...] = (),
    begins: timedelta = -YEAR,
    ends: timedelta = YEAR,
    usage: tuple[str, ...] | None = None,
    purposes: tuple[x509.ObjectIdentifier, ...] = (),
    permitted: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    critical: str = "",
    hash_name: str = "SHA256",
    pss: bool = False,
    key_ids: bool = True,
    serial: int = 0,
) -> bytes:
    """A certificate in DER; `issuer` None makes it self-signed. `ca` None leaves basicConstraints out."""
    signer = key(issuer_key or key_name)
    builder = (
        x509.CertificateBuilder()
        .serial_number(serial or 1 + abs(hash((subject, key_name, issuer, issuer_key, names))) % 2**60)
        .subject_name(distinguished_name(subject))
        .issuer_name(distinguished_name(subject if issuer is None else issuer))
        .public_key(key(key_name).public_key())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
    )
    if ca is not None:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True
        )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    if usage is not None:
        builder = builder.add_extension(key_usage(*usage), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if permitted or excluded:
        builder = builder.add_extension(
            x509.NameConstraints(
                [x509.DNSName(name) for name in permitted] or None,
                [x509.DNSName(name) for name in excluded] or None,
            ),
            critical=True,
        )
    if critical:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(critical), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=True)
    if key_ids:
        own = x509.SubjectKeyIdentifier.from_public_key(key(key_name).public_key())
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(own, critical=False).add_extension(above, critical=False)
    algorithm = getattr(hashes, hash_name)()
    scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH) if pss else None
    certificate = (
        builder.sign(signer, algorithm, rsa_padding=scheme) if pss else builder.sign(signer, algorithm)
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def element(tag: int, contents: bytes) -> bytes:
    """One DER element."""
    size = len(contents)
    if size < 128:
        return bytes((tag, size)) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + contents


def rebuilt(octets: bytes, signer: str, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The certificate with other fields in its tbsCertificate, signed anew (ECDSA with SHA-256)."""
    outer = der.whole(octets, der.SEQUENCE, "Certificate")
    tbs, algorithm, _ = der.children(outer)
    fields = change([field.encoded for field in der.children(tbs)])
    signed = element(der.SEQUENCE, b"".join(fields))
    private = key(signer)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = private.sign(signed, ec.ECDSA(hashes.SHA256()))
    return element(der.SEQUENCE, signed + algorithm.encoded + element(der.BIT_STRING, b"\0" + signature))


def as_version_1(octets: bytes, signer: str) -> bytes:
    """Without the version and the extensions, as certificates were before 1996."""
    return rebuilt(octets, signer, lambda fields: fields[1:7])


def signed_with_sha1(octets: bytes, signer: str) -> bytes:
    """With ecdsa-with-SHA1, which `cryptography` does not make any more."""
    algorithm = element(der.SEQUENCE, bytes.fromhex("06072a8648ce3d0401"))
    tbs = der.children(der.whole(octets, der.SEQUENCE, "Certificate"))[0]
    fields = [field.encoded for field in der.children(tbs)]
    fields[2] = algorithm
    signed = element(der.SEQUENCE, b"".join(fields))
    private = key(signer)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    # ECDSA takes a digest as a number, so leading zeros change nothing.
    digest = bytes(12) + sha1(signed).digest()
    signature = private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    return element(der.SEQUENCE, signed + algorithm + element(der.BIT_STRING, b"\0" + signature))


def corrupted(octets: bytes) -> bytes:
    """With a broken signature, and still DER: one bit of the last INTEGER is another."""
    return octets[:-1] + bytes((octets[-1] ^ 1,))


def tlsa(usage: int, selector: int, matching_type: int, octets: bytes) -> TlsaData:
    """A record made independently of the code under test; `octets` is a certificate."""
    loaded = x509.load_der_x509_certificate(octets)
    content = (
        octets
        if selector == 0
        else loaded.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    data = {0: lambda o: o, 1: lambda o: sha256(o).digest(), 2: lambda o: sha512(o).digest()}
    return TlsaData(usage, selector, matching_type, data[matching_type](content))


# --- OpenSSL ---------------------------------------------------------------------------------------


class OpenSsl:
    """OpenSSL's verdict on a chain, from a real handshake over memory BIOs."""

    NO_DANE_EE_NAMECHECKS = 1
    NEVER_CHECK_SUBJECT = 0x20
    NO_PARTIAL_WILDCARDS = 0x04
    NO_AUTO_CHAIN = 0x08
    SSL_CTRL_MODE, SSL_CTRL_EXTRA_CHAIN_CERT = 33, 14

    def __init__(self) -> None:
        self.ssl = ctypes.CDLL("libssl.so.3")
        self.crypto = ctypes.CDLL("libcrypto.so.3")
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        signatures: dict[str, tuple[Any, ...]] = {
            "TLS_method": (pointer,),
            "SSL_CTX_new": (pointer, pointer),
            "SSL_CTX_free": (None, pointer),
            "SSL_CTX_set_security_level": (None, pointer, number),
            "SSL_CTX_use_certificate_ASN1": (number, pointer, number, text),
            "SSL_CTX_use_PrivateKey_ASN1": (number, number, pointer, text, ctypes.c_long),
            "SSL_CTX_ctrl": (ctypes.c_long, pointer, number, ctypes.c_long, pointer),
            "SSL_CTX_dane_enable": (number, pointer),
            "SSL_CTX_dane_set_flags": (ctypes.c_ulong, pointer, ctypes.c_ulong),
            "SSL_CTX_get_cert_store": (pointer, pointer),
            "SSL_new": (pointer, pointer),
            "SSL_free": (None, pointer),
            "SSL_dane_enable": (number, pointer, text),
            "SSL_dane_tlsa_add": (
                number,
                pointer,
                ctypes.c_uint8,
                ctypes.c_uint8,
                ctypes.c_uint8,
                text,
                ctypes.c_size_t,
            ),
            "SSL_get0_dane_authority": (number, pointer, pointer, pointer),
            "SSL_set1_host": (number, pointer, text),
            "SSL_add1_host": (number, pointer, text),
            "SSL_set_hostflags": (None, pointer, ctypes.c_uint),
            "SSL_set_verify": (None, pointer, number, pointer),
            "SSL_get0_param": (pointer, pointer),
            "SSL_set_bio": (None, pointer, pointer, pointer),
            "SSL_set_connect_state": (None, pointer),
            "SSL_set_accept_state": (None, pointer),
            "SSL_do_handshake": (number, pointer),
            "SSL_is_init_finished": (number, pointer),
            "SSL_get_verify_result": (ctypes.c_long, pointer),
        }
        for name, (result, *arguments) in signatures.items():
            self._declare(self.ssl, name, result, arguments)
        for name, (result, *arguments) in {
            "BIO_s_mem": (pointer,),
            "BIO_new": (pointer, pointer),
            "BIO_up_ref": (number, pointer),
            "d2i_X509": (pointer, pointer, pointer, ctypes.c_long),
            "X509_free": (None, pointer),
            "X509_STORE_add_cert": (number, pointer, pointer),
            "X509_VERIFY_PARAM_set_time": (None, pointer, ctypes.c_long),
            "X509_verify_cert_error_string": (text, ctypes.c_long),
            "ERR_clear_error": (None,),
            "ERR_get_error": (ctypes.c_ulong,),
            "ERR_error_string": (text, ctypes.c_ulong, pointer),
        }.items():
            self._declare(self.crypto, name, result, arguments)

    @staticmethod
    def _declare(library: ctypes.CDLL, name: str, result: Any, arguments: list[Any]) -> None:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments

    def _x509(self, octets: bytes) -> int:
        buffer = ctypes.create_string_buffer(octets, len(octets))
        place = ctypes.c_void_p(ctypes.addressof(buffer))
        found = self.crypto.d2i_X509(None, ctypes.byref(place), len(octets))
        assert found, "OpenSSL cannot read this certificate"
        return int(found)

    def _ok(self, result: int) -> None:
        if result <= 0:
            code = self.crypto.ERR_get_error()
            raise AssertionError(self.crypto.ERR_error_string(code, None))

    def _server(self, chain: Sequence[bytes], private: Key) -> int:
        context = self.ssl.SSL_CTX_new(self.ssl.TLS_method())
        self.ssl.SSL_CTX_set_security_level(context, 0)
        self.ssl.SSL_CTX_ctrl(context, self.SSL_CTRL_MODE, self.NO_AUTO_CHAIN, None)
        self._ok(self.ssl.SSL_CTX_use_certificate_ASN1(context, len(chain[0]), chain[0]))
        octets = private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        kind = 6 if isinstance(private, rsa.RSAPrivateKey) else 408  # EVP_PKEY_RSA, EVP_PKEY_EC
        self._ok(self.ssl.SSL_CTX_use_PrivateKey_ASN1(kind, context, octets, len(octets)))
        for certificate in chain[1:]:
            # The context owns it from here on.
            added = self.ssl.SSL_CTX_ctrl(context, self.SSL_CTRL_EXTRA_CHAIN_CERT, 0, self._x509(certificate))
            self._ok(added)
        return int(context)

    def _client(self, roots: Sequence[bytes]) -> int:
        context = self.ssl.SSL_CTX_new(self.ssl.TLS_method())
        self.ssl.SSL_CTX_set_security_level(context, 2)
        store = self.ssl.SSL_CTX_get_cert_store(context)
        for root in roots:
            certificate = self._x509(root)
            self._ok(self.crypto.X509_STORE_add_cert(store, certificate))
            self.crypto.X509_free(certificate)
        return int(context)

    def _shake(self, client: int, server: int) -> None:
        to_client, to_server = (self.crypto.BIO_new(self.crypto.BIO_s_mem()) for _ in range(2))
        for bio in (to_client, to_server):
            self.crypto.BIO_up_ref(bio)
        self.ssl.SSL_set_bio(client, to_client, to_server)
        self.ssl.SSL_set_bio(server, to_server, to_client)
        self.ssl.SSL_set_connect_state(client)
        self.ssl.SSL_set_accept_state(server)
        for _ in range(10):
            self.ssl.SSL_do_handshake(client)
            self.ssl.SSL_do_handshake(server)
            if self.ssl.SSL_is_init_finished(client) and self.ssl.SSL_is_init_finished(server):
                return
        code = self.crypto.ERR_get_error()
        raise AssertionError(f"no handshake: {self.crypto.ERR_error_string(code, None)}")

    def verify(
        self,
        chain: Sequence[bytes],
        private: Key,
        *,
        names: Sequence[str],
        at: datetime,
        records: Sequence[TlsaData] | None = None,
        roots: Sequence[bytes] = (),
    ) -> tuple[str, int, str]:
        """(verdict, depth, OpenSSL's reason); verdicts as of `dane verify`; without records PKIX."""
        self.crypto.ERR_clear_error()
        server_context, client_context = self._server(chain, private), self._client(roots)
        if records is not None:
            self._ok(self.ssl.SSL_CTX_dane_enable(client_context))
            self.ssl.SSL_CTX_dane_set_flags(client_context, self.NO_DANE_EE_NAMECHECKS)
        server, client = self.ssl.SSL_new(server_context), self.ssl.SSL_new(client_context)
        try:
            usable = 0
            if records is not None:
                self._ok(self.ssl.SSL_dane_enable(client, names[0].encode()))
                for record in records:
                    added = self.ssl.SSL_dane_tlsa_add(
                        client,
                        record.usage,
                        record.selector,
                        record.matching_type,
                        record.data,
                        len(record.data),
                    )
                    usable += added > 0
                if not usable:
                    return "unusable", -1, "no usable record"
                self.crypto.ERR_clear_error()
            self._ok(self.ssl.SSL_set1_host(client, names[0].encode()))
            for name in names[1:]:
                self._ok(self.ssl.SSL_add1_host(client, name.encode()))
            self.ssl.SSL_set_hostflags(client, self.NEVER_CHECK_SUBJECT | self.NO_PARTIAL_WILDCARDS)
            self.ssl.SSL_set_verify(client, 0, None)
            self.crypto.X509_VERIFY_PARAM_set_time(self.ssl.SSL_get0_param(client), int(at.timestamp()))
            self._shake(client, server)
            code = self.ssl.SSL_get_verify_result(client)
            reason = self.crypto.X509_verify_cert_error_string(code).decode()
            if records is None:
                return ("trusted" if code == 0 else "untrusted"), -1, f"{code} {reason}"
            depth = self.ssl.SSL_get0_dane_authority(client, None, None) if code == 0 else -1
            return ("verified" if code == 0 and depth >= 0 else "mismatch"), depth, f"{code} {reason}"
        finally:
            for connection in (client, server):
                self.ssl.SSL_free(connection)
            for context in (client_context, server_context):
                self.ssl.SSL_CTX_free(context)


class Workshop:
    """What the tests of this directory take as the fixture `workshop`."""

    NOW, YEAR = NOW, YEAR
    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
    ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
    key = staticmethod(key)
    spki_of_key = staticmethod(spki_of_key)
    certify = staticmethod(certify)
    element = staticmethod(element)
    rebuilt = staticmethod(rebuilt)
    as_version_1 = staticmethod(as_version_1)
    corrupted = staticmethod(corrupted)
    tlsa = staticmethod(tlsa)

    def __init__(self) -> None:
        ca = {"ca": True, "usage": ("key_cert_sign", "crl_sign")}
        self.root = certify("Root", "root", **ca)
        self.other_root = certify("Other Root", "other-root", **ca)
        self.intermediate = certify("Intermediate", "intermediate", "Root", "root", **ca)
        self.second = certify("Second", "second", "Intermediate", "intermediate", **ca)
        self.cross = certify("Intermediate", "intermediate", "Other Root", "other-root", **ca)
        self.stranger = certify("Stranger", "stranger", "Nobody", "nobody", **ca)

    def leaf(self, issuer: str | None = "Intermediate", **changes: Any) -> bytes:
        """A good server certificate for mx.example.com, with changes."""
        settings: dict[str, Any] = {
            "names": ("mx.example.com",),
            "purposes": (self.SERVER,),
            "usage": ("digital_signature",),
            "subject": "mx.example.com",
            "key_name": "leaf",
        }
        settings |= changes
        subject, key_name = settings.pop("subject"), settings.pop("key_name")
        issuer_key = settings.pop("issuer_key", issuer.lower().replace(" ", "-") if issuer else None)
        return certify(subject, key_name, issuer, issuer_key, **settings)

    def shapes(self) -> dict[str, tuple[bytes, ...]]:
        """Chains as servers send them, by what is peculiar about them; for the server's key see `key_of`."""
        ca = {"ca": True, "usage": ("key_cert_sign",)}
        old, young = {"ends": timedelta(days=-1)}, {"begins": timedelta(days=1)}
        leaf, inter, root, second = self.leaf(), self.intermediate, self.root, self.second

        def under(name: str, **changes: Any) -> tuple[bytes, ...]:
            """Leaf, a changed intermediate of its own name, and the root."""
            settings = {**ca, **changes}
            issuer = certify(name, "under", "Root", "root", **settings)
            return self.leaf(name, issuer_key="under"), issuer, root

        constrained = {"permitted": ("example.com",)}
        return {
            "good": (leaf, inter, root),
            "root not sent": (leaf, inter),
            "leaf alone": (leaf,),
            "leaf and a stranger": (leaf, self.stranger),
            "issued by the root": (self.leaf("Root"), root),
            "issued by the root, root not sent": (self.leaf("Root"),),
            "two intermediates": (self.leaf("Second"), second, inter, root),
            "two intermediates, root not sent": (self.leaf("Second"), second, inter),
            "unordered": (self.leaf("Second"), root, inter, second),
            "duplicates": (leaf, leaf, inter, inter, root, root),
            "strangers": (leaf, self.stranger, inter, self.other_root, root),
            "gap": (self.leaf("Second"), inter, root),
            "cross-signed": (leaf, self.cross, inter, root),
            "cross-signed only": (leaf, self.cross, self.other_root),
            "self-signed": (self.leaf(None),),
            "self-signed CA": (self.leaf(None, ca=True, usage=("key_cert_sign", "digital_signature")),),
            "self-signed twice": (self.leaf(None), self.leaf(None)),
            "leaf expired": (self.leaf(**old), inter, root),
            "leaf not yet valid": (self.leaf(**young), inter, root),
            "intermediate expired": under("Old", **old),
            "intermediate not yet valid": under("Young", **young),
            "root expired": (
                self.leaf("Old Root", issuer_key="old-root"),
                certify("Old Root", "old-root", **ca, **old),
            ),
            "intermediate expired, another is not": (
                leaf,
                certify("Intermediate", "intermediate", "Root", "root", **ca, **old),
                inter,
                root,
            ),
            "intermediate is no CA": under("No CA", ca=False),
            "intermediate without basicConstraints": under("Bare", ca=None, usage=None),
            "intermediate may not sign": under("No Sign", usage=("crl_sign",)),
            "intermediate without key usage": under("No Usage", usage=None),
            "intermediate for clients": under("Clients", purposes=(self.CLIENT,)),
            "intermediate for servers": under("Servers", purposes=(self.SERVER,)),
            "intermediate with path length 0": under("Zero", path_length=0),
            "path length exceeded": (
                self.leaf("Below"),
                certify("Below", "below", "Zero", "zero", **ca),
                certify("Zero", "zero", "Root", "root", path_length=0, **ca),
                root,
            ),
            "self-issued does not count for path length": (
                self.leaf("Zero", issuer_key="new-zero"),
                certify("Zero", "new-zero", "Zero", "zero", **ca),
                certify("Zero", "zero", "Root", "root", path_length=0, **ca),
                root,
            ),
            "name permitted": under("Permitted", **constrained),
            "name not permitted": under("Elsewhere", permitted=("example.net",)),
            "name excluded": under("Excluded", excluded=("mx.example.com",)),
            "name constraint with a dot": under("Dotted", permitted=(".example.com",)),
            "other name excluded": under("Excluding", excluded=("bad.example.com",)),
            "unknown critical extension": (self.leaf(critical="1.2.3.4.5"), inter, root),
            "unknown critical extension above": under("Critical", critical="1.2.3.4.5"),
            "leaf for clients": (self.leaf(purposes=(self.CLIENT,)), inter, root),
            "leaf for any purpose": (self.leaf(purposes=(self.ANY,)), inter, root),
            "leaf without purposes": (self.leaf(purposes=(), usage=None), inter, root),
            "leaf that only signs certificates": (self.leaf(usage=("key_cert_sign",)), inter, root),
            "leaf says it is no CA": (self.leaf(ca=False), inter, root),
            "leaf signature broken": (corrupted(leaf), inter, root),
            "intermediate signature broken": (leaf, corrupted(inter), root),
            "broken intermediate beside a good one": (leaf, corrupted(inter), inter, root),
            "impostor of the same name": (
                leaf,
                certify("Intermediate", "impostor", "Root", "root", **ca),
                root,
            ),
            "impostor beside the right one": (
                leaf,
                certify("Intermediate", "impostor", "Root", "root", **ca),
                inter,
                root,
            ),
            "no key identifiers": (
                self.leaf("Plain", issuer_key="plain", key_ids=False),
                certify("Plain", "plain", "Root", "root", key_ids=False, **ca),
                root,
            ),
            "root of version 1": (
                self.leaf("Ancient", issuer_key="ancient"),
                as_version_1(certify("Ancient", "ancient"), "ancient"),
            ),
            "intermediate of version 1": (
                self.leaf("Antique", issuer_key="antique"),
                as_version_1(certify("Antique", "antique", "Root", "root"), "root"),
                root,
            ),
            "RSA server": (self.leaf(key_name="rsa-2048"), inter, root),
            "RSA": (
                self.leaf("Big", issuer_key="rsa-2048"),
                certify("Big", "rsa-2048", "Root", "root", **ca),
                root,
            ),
            "RSA-PSS": (
                self.leaf("Probabilistic", issuer_key="rsa-2048", pss=True),
                certify("Probabilistic", "rsa-2048", "Root", "root", **ca),
                root,
            ),
            "RSA of 1024 bits": (
                self.leaf("Small", issuer_key="rsa-1024"),
                certify("Small", "rsa-1024", "Root", "root", **ca),
                root,
            ),
            "SHA-1": (signed_with_sha1(leaf, "intermediate"), inter, root),
            "SHA-1 above": (leaf, signed_with_sha1(inter, "root"), root),
            "SHA-1 on the root": (leaf, inter, signed_with_sha1(root, "root")),
            "SHA-384": (self.leaf(hash_name="SHA384"), inter, root),
            "wildcard": (self.leaf(names=("*.example.com",)), inter, root),
            "wildcard too deep": (self.leaf(names=("*.mx.example.com",)), inter, root),
            "wildcard too high": (self.leaf(names=("*.com",)), inter, root),
            "wildcard within a label": (self.leaf(names=("m*.example.com",)), inter, root),
            "wildcard in the second label": (self.leaf(names=("mx.*.com",)), inter, root),
            "upper case": (self.leaf(names=("MX.Example.COM",)), inter, root),
            "trailing dot": (self.leaf(names=("mx.example.com.",)), inter, root),
            "longer name": (self.leaf(names=("mx.example.com.attacker.net",)), inter, root),
            "next-hop's name": (self.leaf(names=("example.com",)), inter, root),
            "second of many names": (self.leaf(names=("a.example.net", "mx.example.com")), inter, root),
            "CN only": (self.leaf(names=()), inter, root),
            "other name, CN right": (self.leaf(names=("other.example.net",)), inter, root),
            "empty subject": (self.leaf(subject=""), inter, root),
        }

    @functools.cached_property
    def openssl(self) -> OpenSsl:
        return OpenSsl()

    @staticmethod
    def key_of(chain: Sequence[bytes]) -> Key:
        """The private key of the server that sends this chain."""
        spki = Certificate(chain[0]).spki
        return next(key(name) for name in ("leaf", "rsa-2048") if spki_of_key(name) == spki)

    @staticmethod
    def view(octets: bytes) -> Certificate:
        return Certificate(octets)


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    return Workshop()
