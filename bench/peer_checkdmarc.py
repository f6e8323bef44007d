"""The peer's side of `check.py`: checkdmarc over the domains on stdin; runs in the peers' environment.

Asks for what `mxseal check` looks at, too, and for nothing else: DNSSEC of the zone, MTA-STS
record and policy, MX hosts with TLSA and STARTTLS, TLSRPT.  SPF, DMARC, BIMI, SOA and NS, which
`checkdmarc` would also look at, are left out in its favour.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from checkdmarc.dnssec import check_dnssec
from checkdmarc.mta_sts import check_mta_sts
from checkdmarc.smtp import check_mx
from checkdmarc.smtp_tls_reporting import check_smtp_tls_reporting


def examine(domain: str, nameservers: list[str]) -> dict[str, object]:
    """One domain, in the order in which checkdmarc's own `check_domains` does it."""
    dnssec = check_dnssec(domain, nameservers=nameservers)
    sts = check_mta_sts(domain, nameservers=nameservers)
    patterns = sts["policy"]["mx"] if sts["valid"] else None
    mx = check_mx(domain, mta_sts_mx_patterns=patterns, check_mx_tls=True, nameservers=nameservers)
    tlsrpt = check_smtp_tls_reporting(domain, nameservers=nameservers)
    hosts = mx.get("hosts", [])
    return {
        "domain": domain,
        "dnssec": bool(dnssec),
        "sts": bool(sts["valid"]),
        "tlsrpt": bool(tlsrpt["valid"]),
        "starttls": any(host.get("starttls") for host in hosts),
        "tlsa": any(host.get("tlsa") for host in hosts),
    }


def main() -> None:
    """``python peer_checkdmarc.py NAMESERVER THREADS < domains``: one JSON object."""
    nameserver, threads = sys.argv[1], int(sys.argv[2])
    domains = sys.stdin.read().split()
    start, cpu = time.perf_counter(), time.process_time()
    if threads == 1:
        results = [examine(domain, [nameserver]) for domain in domains]
    else:
        with ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(lambda domain: examine(domain, [nameserver]), domains))
    json.dump(
        {
            "seconds": time.perf_counter() - start,
            "cpu": time.process_time() - cpu,
            "results": results,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
