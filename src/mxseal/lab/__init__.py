"""A small internet on loopback, with attackers, to try all of this.

One process, no privileges, no network: a DNS hierarchy with a signed root of
its own, a certification authority, policy hosts over HTTPS, MX hosts over SMTP
with STARTTLS, and an attacker in the path.  About a hundred named domains, each a
documented scenario, run on it: `mxseal.lab.scenarios.SCENARIOS`.

::

    async with Lab() as lab:
        lab.resolver, lab.smtp_port, lab.https_port      where everything is
        lab.roots, lab.trust_anchor                      whom to trust
        lab.attack("good-sts.test", Attack.STRIP_STARTTLS)
        lab.mail                                         what arrived, and what the attacker read

    with LabThread() as lab: …                           the same, for callers that are not async

The modules, in the order in which they build on each other: `ca` certificates,
`zones` DNS data with signatures and proofs, `dns_server` UDP and TCP,
`mx_hosts` and `policy_hosts` the servers, `attacks` what may go wrong on
purpose, `scenarios` the table, `internet` all of it together.
"""

from mxseal.lab.attacks import Attack
from mxseal.lab.internet import Lab, LabThread
from mxseal.lab.mx_hosts import ReceivedMail
from mxseal.lab.scenarios import SCENARIOS, Fate, Scenario, fleet_domain

__all__ = ["SCENARIOS", "Attack", "Fate", "Lab", "LabThread", "ReceivedMail", "Scenario", "fleet_domain"]
