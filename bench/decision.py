"""What thinking costs: records, policies, decisions and answers, in µs a call.

Each row is the best of several runs of many calls, as `timeit` recommends: the
slower ones measure the machine's other work.  No I/O is involved.
"""

import asyncio
import sys
import timeit
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from mxseal.adapters.memory import FixedClock, MemoryPolicyHosts, MemoryResolver
from mxseal.decisions.delivery import CachedPolicy, decide
from mxseal.decisions.policy_lifecycle import effective_policy
from mxseal.decisions.postfix_answer import postfix_reply
from mxseal.journeys.discover_delivery import discover_delivery
from mxseal.standards import mta_sts, tlsrpt
from mxseal.standards.mta_sts import parse_policy, parse_record, select_record
from mxseal.standards.postfix_tls import parse_policy as parse_tls_policy
from mxseal.vocabulary.names import HostName, parse_next_hop
from mxseal.vocabulary.observations import TextData

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
RECORD = "v=STSv1; id=20160831085700Z;"
POLICY = (
    "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
    "mx: backupmx.example.com\r\nmax_age: 604800\r\n"
)
BIG_POLICY = POLICY + "".join(f"mx: mx{n}.example.org\r\n" for n in range(500))
TLSA = "3 1 1 " + "ab" * 32
WORLD = {
    "dane.example MX": ["10 mx1.dane.example.", "20 mx2.dane.example."],
    "mx1.dane.example A": ["192.0.2.1"],
    "mx2.dane.example A": ["192.0.2.2"],
    "_25._tcp.mx1.dane.example TLSA": [TLSA, "3 1 1 " + "cd" * 32],
    "_25._tcp.mx2.dane.example TLSA": [TLSA],
    "sts.example MX": ["10 mx1.sts.example.", "20 mx2.sts.example."],
    "mx1.sts.example A": ["192.0.2.1"],
    "mx2.sts.example A": ["192.0.2.2"],
    "_mta-sts.sts.example TXT": [f'"{RECORD}"'],
    "plain.example MX": ["10 mx1.plain.example."],
    "mx1.plain.example A": ["192.0.2.1"],
    "large.example MX": [f"{n} mx{n}.dane.example." for n in range(64)],
}
WORLD |= {f"mx{n}.dane.example A": ["192.0.2.9"] for n in range(64)}
WORLD |= {f"_25._tcp.mx{n}.dane.example TLSA": [TLSA] for n in range(64)}


def discovered(domain: str, cached: CachedPolicy | None = None):  # noqa: ANN201
    """The evidence of one domain of the world above."""
    return asyncio.run(
        discover_delivery(
            parse_next_hop(domain),
            resolver=MemoryResolver.from_texts(WORLD, secure=["dane.example", "large.example"]),
            policy_hosts=MemoryPolicyHosts(
                {HostName("sts.example"): POLICY.replace("*.example.net", "*.sts.example")}
            ),
            clock=FixedClock(NOW),
            cached=cached,
        )
    )


def rows() -> dict[str, Callable[[], object]]:
    """What is measured, by its name."""
    texts = [TextData((b"v=spf1 -all",)), TextData((RECORD.encode(),))]
    policy, big = parse_policy(POLICY), parse_policy(BIG_POLICY)
    assert isinstance(policy, mta_sts.Policy)
    assert isinstance(big, mta_sts.Policy)
    cached = CachedPolicy("20160831085700Z", policy, NOW - timedelta(days=2))
    facts = {name: discovered(f"{name}.example") for name in ("plain", "dane", "large")}
    facts["sts"] = discovered("sts.example")
    facts["sts, cached"] = discovered("sts.example", cached)
    kinds = {name: found.decision.answer.kind for name, found in facts.items()}
    expected = {
        "plain": "not-found",
        "dane": "dane-only",
        "large": "dane-only",
        "sts": "secure",
        "sts, cached": "secure",
    }
    assert kinds == expected, kinds
    measured: dict[str, Callable[[], object]] = {
        "MTA-STS record": lambda: parse_record(RECORD),
        "MTA-STS record among TXT records": lambda: select_record(texts),
        "MTA-STS policy, 3 patterns": lambda: parse_policy(POLICY.encode()),
        "MTA-STS policy, 503 patterns": lambda: parse_policy(BIG_POLICY.encode()),
        "pattern matching, 3 patterns": lambda: policy.matching(HostName("mx.example.net")),
        "TLSRPT record": lambda: tlsrpt.parse_record("v=TLSRPTv1; rua=mailto:reports@example.com"),
        "host name": lambda: HostName("Mail.Example.COM."),
        "next-hop": lambda: parse_next_hop("[mx.example.com]:587"),
        "Postfix policy": lambda: parse_tls_policy("secure match=a.example:.b.example servername=hostname"),
    }
    for name, found in facts.items():
        measured[f"decide: {name}, {len(found.hosts)} MX hosts"] = lambda found=found: decide(
            found.next_hop.host, found.mx, found.hosts, found.sts, now=NOW
        )
    measured["effective policy, cached"] = lambda: effective_policy(facts["sts, cached"].sts, NOW)
    measured["effective policy, fetched"] = lambda: effective_policy(facts["sts"].sts, NOW)
    measured["answer in Postfix' words, dane-only"] = lambda: str(
        postfix_reply(facts["dane"].decision.answer)
    )
    measured["answer in Postfix' words, secure"] = lambda: str(postfix_reply(facts["sts"].decision.answer))
    return measured


def main(seconds: float = 0.1, repeat: int = 5) -> None:
    """Print the table; each row takes about `seconds` × `repeat`."""
    print(f"{'':44}{'µs':>10}{'a second':>12}")
    for name, call in rows().items():
        timer = timeit.Timer(call)
        number, took = timer.autorange()
        number = max(1, round(number * seconds / max(took, 1e-9)))
        best = min(timer.repeat(repeat, number)) / number
        print(f"{name:44}{best * 1e6:10.2f}{1 / best:12,.0f}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
