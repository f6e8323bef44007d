"""This machine: its clock's keeper, CA store, Postfix and kernel settings, read and never changed."""

import ctypes
import os
import re
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Final

from mxseal import _version
from mxseal.decisions.doctor import (
    CaStoreObservation,
    ClockObservation,
    ClockWitness,
    PostfixObservation,
)
from mxseal.standards.certificate import Certificate, parse_certificate
from mxseal.vocabulary.rejection import Rejection

DATAGRAM_QUEUE: Final = Path("/proc/sys/net/unix/max_dgram_qlen")
_MAX_STORE_BYTES: Final = 32 * 1024 * 1024
_PEM: Final = re.compile(
    rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL
)


# --- clock -------------------------------------------------------------------------------------------


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), whose tail is padded."""

    _fields_: ClassVar = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5


def observe_clock(now: datetime, *, signatures_current: bool | None = None) -> ClockObservation:
    """What vouches for `now`: the age of our own files, and the kernel's view of its time service."""
    witnesses = []
    for path, source in (
        (Path(_version.__file__), "when MXSeal was installed"),
        (Path("/var/lib/systemd/timesync/clock"), "when a time server was last heard (systemd-timesyncd)"),
    ):
        try:
            modified = path.stat().st_mtime
        except OSError:
            continue
        witnesses.append(ClockWitness(datetime.fromtimestamp(modified, tz=UTC), source))
    synchronized, error = _kernel_time()
    return ClockObservation(
        now=now,
        witnesses=tuple(witnesses),
        signatures_current=signatures_current,
        kernel_synchronized=synchronized,
        max_error=error,
    )


def _kernel_time() -> tuple[bool | None, timedelta | None]:
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None, None
    state = _Timex(modes=0)
    result = adjtimex(ctypes.byref(state))
    if result < 0:
        return None, None
    if result == _TIME_ERROR or state.status & _STA_UNSYNC:
        return False, None
    return True, timedelta(microseconds=state.maxerror)


# --- CA store ----------------------------------------------------------------------------------------


def observe_ca_store(now: datetime, ca_file: Path | None = None) -> CaStoreObservation:
    """The given file, or what OpenSSL takes by default (SSL_CERT_FILE and SSL_CERT_DIR honoured)."""
    if ca_file is not None:
        return _observe_store(str(ca_file), [ca_file], now)
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return _observe_store(paths.cafile, [Path(paths.cafile)], now)
    if paths.capath:
        directory = Path(paths.capath)
        # OpenSSL finds certificates in a directory by hashed names (c_rehash).
        files = sorted(
            path for path in directory.iterdir() if re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", path.name)
        )
        return _observe_store(paths.capath, files, now)
    return CaStoreObservation(source="")


def _observe_store(source: str, files: list[Path], now: datetime) -> CaStoreObservation:
    total = 0
    unreadable, expired = [], []
    for file in files:
        try:
            with file.open("rb") as stream:
                text = stream.read(_MAX_STORE_BYTES)
        except OSError as error:
            unreadable.append(f"{file}: {error.strerror}")
            continue
        for number, found in enumerate(_PEM.finditer(text), start=1):
            certificate = _certificate(found[0])
            if isinstance(certificate, Rejection):
                unreadable.append(f"{file}, certificate {number}: {certificate.message}")
                continue
            total += 1
            if certificate.not_after < now:
                expired.append(certificate.subject)
    return CaStoreObservation(
        source=source, total=total, unreadable=tuple(unreadable), expired=tuple(expired)
    )


def _certificate(pem: bytes) -> Certificate | Rejection:
    try:
        der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii").strip())
    except ValueError as error:  # no base64, or another header than that of a plain certificate
        return Rejection("", 0, 0, str(error), section="RFC 7468 §5.1")
    return parse_certificate(der)


# --- Postfix -----------------------------------------------------------------------------------------


def observe_postfix(postconf: str = "postconf") -> PostfixObservation | None:
    """Postfix' settings through postconf(1), or None where there is no Postfix."""
    command = shutil.which(postconf, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if command is None:
        return None
    version = _run(command, "-dh", "mail_version")
    if version is None:
        return None
    settings = _settings(command)
    queue = settings.get("queue_directory") or "/var/spool/postfix"
    return PostfixObservation(
        version=version.strip(),
        dns_support_level=settings.get("smtp_dns_support_level", ""),
        host_lookup=settings.get("smtp_host_lookup", "dns"),
        security_level=_security_level(settings),
        policy_maps=tuple(filter(None, re.split(r"[\s,]+", settings.get("smtp_tls_policy_maps", "")))),
        ca_file=settings.get("smtp_tls_CAfile", ""),
        ca_path=settings.get("smtp_tls_CApath", ""),
        append_default_ca=settings.get("tls_append_default_CA", "no") == "yes",
        dane_insecure_mx_policy=settings.get("smtp_tls_dane_insecure_mx_policy", ""),
        relayhost=settings.get("relayhost", ""),
        chrooted=_chrooted(command, settings.get("compatibility_level", "")),
        queue_directory=queue,
        resolv_conf_differs=_differs(Path("/etc/resolv.conf"), Path(queue, "etc/resolv.conf")),
        tlsrpt_enabled=settings.get("smtp_tlsrpt_enable", "no") == "yes",
    )


_ASKED: Final = (
    "compatibility_level",
    "queue_directory",
    "relayhost",
    "smtp_dns_support_level",
    "smtp_enforce_tls",
    "smtp_host_lookup",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_dane_insecure_mx_policy",
    "smtp_tls_policy_maps",
    "smtp_tls_security_level",
    "smtp_tlsrpt_enable",
    "smtp_use_tls",
    "tls_append_default_CA",
)


def _settings(command: str) -> dict[str, str]:
    # -x expands "${{$smtp_tls_security_level} == {dane} ? {dane} : {may}}" and the like.  A name that
    # this version does not know is a warning on stderr, no failure.
    output = _run(command, "-x", *_ASKED) or ""
    pairs = (line.partition("=") for line in output.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _security_level(settings: dict[str, str]) -> str:
    """postconf(5): the obsolete switches count where the level is empty."""
    level = settings.get("smtp_tls_security_level", "")
    if not level and settings.get("smtp_enforce_tls") == "yes":
        return "encrypt"
    if not level and settings.get("smtp_use_tls") == "yes":
        return "may"
    return level


def _chrooted(command: str, compatibility_level: str) -> bool | None:
    output = _run(command, "-Fh", "smtp/unix/chroot")
    flag = (output or "").strip()
    if flag == "-":  # master(5): the default is 'y' below compatibility level 1
        return not compatibility_level or compatibility_level == "0"
    return {"y": True, "n": False}.get(flag)


def _differs(ours: Path, copy: Path) -> bool:
    try:
        return ours.read_bytes() != copy.read_bytes()
    except OSError:
        return False


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command without a shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


# --- kernel ------------------------------------------------------------------------------------------


def observe_datagram_queue(path: Path = DATAGRAM_QUEUE) -> int | None:
    """`net.unix.max_dgram_qlen`, or None where the kernel does not tell."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
