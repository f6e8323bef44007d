"""How mail to a domain must travel: evidence in, one `Decision` out.

Two standards may speak for a domain.  DANE (RFC 7672) speaks per MX host and
holds by DNSSEC alone; MTA-STS (RFC 8461) speaks per domain and holds by the
web's certificates and trust on first use.  DANE comes first (RFC 8461 §2), so
for each MX host:

=======================================  ===================================================
what is known of the host                what a sender owes it (`Level`)
=======================================  ===================================================
secure MX, secure usable TLSA records    DANE: authenticate by them, or do not deliver
insecure MX, secure usable TLSA records  PKIX if MTA-STS enforces, else DANE all the same
secure TLSA records, none of them usable PKIX if MTA-STS enforces, else ENCRYPT
no secure TLSA records                   PKIX if MTA-STS enforces, else OPPORTUNISTIC
owed PKIX, but no pattern names it       SKIP: not listed
a lookup failed or was bogus             SKIP: not now; never "no TLSA", never MTA-STS instead
no address                               SKIP
=======================================  ===================================================

An MTA such as Postfix takes one answer for the whole domain.  `OneAnswer` is
the one that holds every host to at least what it is owed, see `one_answer`.

Two laws are tested over the whole grid of states: no fault makes a requirement
or the answer weaker, and no fault is invented where a domain never promised
anything (docs/adr/0008, 0009).

    decision = decide(domain, mx, hosts, sts, now=now)
    decision.answer               # for a one-answer MTA
    decision.hosts                # for our own delivery, by preference
    decision.valid_until
"""

from mxseal.decisions.delivery.domain import decide, decide_evidence, nothing_applies
from mxseal.decisions.delivery.words import (
    Course,
    Decision,
    HostKnowledge,
    HostRequirement,
    Kind,
    Level,
    Mixed,
    Obstacle,
    OneAnswer,
)
from mxseal.decisions.policy_lifecycle import CachedPolicy, Reason, RecordUnanswered, StsKnowledge, know_sts

__all__ = [
    "CachedPolicy",
    "Course",
    "Decision",
    "HostKnowledge",
    "HostRequirement",
    "Kind",
    "Level",
    "Mixed",
    "Obstacle",
    "OneAnswer",
    "Reason",
    "RecordUnanswered",
    "StsKnowledge",
    "decide",
    "decide_evidence",
    "know_sts",
    "nothing_applies",
]
