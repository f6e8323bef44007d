"""What the laboratory's attacker can do to a domain while the lab runs.

The attacker sits in the path, between the sender and everything else: he cannot
sign with keys that are not his, but he can drop, change and forge what passes.
"""

from enum import StrEnum


class Attack(StrEnum):
    """One thing the attacker does to all traffic about one domain."""

    STRIP_STARTTLS = "strip-starttls"
    """Takes STARTTLS out of the EHLO reply and reads what then comes in clear (RFC 7672 §1.3.1)."""
    REFUSE_STARTTLS = "refuse-starttls"
    """Answers STARTTLS with 454 (RFC 3207 §4)."""
    INJECT = "inject"
    """Puts a reply of his own behind the 220, in the same segment (CVE-2011-0411 and its many children)."""
    OTHER_CERTIFICATE = "other-certificate"
    """Answers in the place of the MX host, with a certificate of an authority nobody knows."""
    FORGE_DNS = "forge-dns"
    """Answers MX, address and TLSA questions with his own data, unsigned."""
    POLICY_HOST_DOWN = "policy-host-down"
    """Resets every connection to the policy host (RFC 8461 §10.2: denial of service)."""
    TARPIT = "tarpit"
    """Lets the SMTP session hang after the connection is made."""


SMTP_ATTACKS = frozenset(
    {
        Attack.STRIP_STARTTLS,
        Attack.REFUSE_STARTTLS,
        Attack.INJECT,
        Attack.OTHER_CERTIFICATE,
        Attack.TARPIT,
    }
)
"""Those that are done to SMTP sessions."""
