"""The system's trust anchors, from where OpenSSL looks for them."""

import functools
import re
import ssl
from pathlib import Path
from typing import Final

from mxseal.standards.certificate import pem_certificates

_MAX_OCTETS: Final = 16 << 20
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+\Z")
"""In a directory OpenSSL finds certificates by the hash of their subjects (c_rehash)."""


@functools.cache
def system_roots() -> tuple[bytes, ...]:
    """The trusted CAs in DER, SSL_CERT_FILE and SSL_CERT_DIR honoured; empty if there are none."""
    paths = ssl.get_default_verify_paths()
    files = [Path(paths.cafile)] if paths.cafile else []
    if not files and paths.capath:
        files = sorted(path for path in Path(paths.capath).iterdir() if _HASHED.match(path.name))
    found: dict[bytes, None] = {}
    for file in files:
        try:
            with file.open("rb") as stream:
                text = stream.read(_MAX_OCTETS)
        except OSError:
            continue  # `mxseal doctor` tells about files that cannot be read
        found |= dict.fromkeys(pem_certificates(text))
    return tuple(found)
