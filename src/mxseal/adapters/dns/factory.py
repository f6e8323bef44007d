"""One resolver from what a user writes: addresses or ``system``, an anchor file, whose word is taken."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from mxseal.adapters.dns.anchors import load_trust_anchors
from mxseal.adapters.dns.resolver import SYSTEM_NOW, ValidatingResolver
from mxseal.adapters.dns.system import parse_server, system_servers
from mxseal.adapters.dns.trust_ad import AdProof, TrustAdResolver


def open_resolver(
    spec: Sequence[str] | Literal["system"] = "system",
    *,
    trust_anchor_file: Path | None = None,
    trust_ad: bool | Literal["unproved"] = False,
    force_stub: bool = False,
    proof: AdProof | None = None,
    timeout: float = 5.0,
    now: Callable[[], datetime] = SYSTEM_NOW,
) -> ValidatingResolver | TrustAdResolver:
    """A resolver over the named servers, or those of ``/etc/resolv.conf``.

    Args:
        spec: texts as `parse_server` takes them; an empty sequence means ``system``.
        trust_anchor_file: instead of the root's built-in anchors.
        trust_ad: take the AD bit of the servers instead of proving; ``"unproved"`` skips their proof.
        force_stub: accept AD from addresses such as 127.0.0.53 that are known to pass on what they get.
        proof: which names the servers have to show for `trust_ad`.
        timeout: seconds for one question.
        now: the time, UTC and aware.

    Raises:
        UsageFault, DataFault, UnavailableFault, ConfigurationFault: each names the text or file and the cure.
    """
    servers = tuple(map(parse_server, spec)) if spec and spec != "system" else system_servers()
    if trust_ad:
        return TrustAdResolver(
            servers,
            proof="unproved" if trust_ad == "unproved" else proof or AdProof(),
            force=force_stub,
            timeout=timeout,
            now=now,
        )
    anchors = load_trust_anchors(trust_anchor_file) if trust_anchor_file is not None else None
    return ValidatingResolver(servers, anchors=anchors, timeout=timeout, now=now)
