"""The house is in order: citations, documents, start-up, nothing of anybody's machine."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))

KNOWN_RFCS = {
    1034: "Domain names: concepts and facilities",
    1035: "Domain names: implementation and specification",
    1047: "Duplicate messages and SMTP",
    1123: "Requirements for Internet hosts: application and support",
    1870: "SMTP service extension for message size declaration",
    1918: "Address allocation for private internets",
    1982: "Serial number arithmetic",
    2034: "SMTP service extension for returning enhanced error codes",
    2045: "MIME part one: format of message bodies",
    2047: "MIME part three: message header extensions for non-ASCII text",
    2181: "Clarifications to the DNS specification",
    2182: "Selection and operation of secondary DNS servers",
    2308: "Negative caching of DNS queries",
    2920: "SMTP service extension for command pipelining",
    3110: "RSA/SHA-1 signatures and RSA keys in DNS",
    3207: "SMTP service extension for secure SMTP over TLS",
    3225: "Indicating resolver support of DNSSEC",
    3339: "Date and time on the Internet",
    3463: "Enhanced mail system status codes",
    3492: "Punycode",
    3597: "Handling of unknown DNS resource record types",
    3986: "Uniform resource identifier: generic syntax",
    4007: "IPv6 scoped address architecture",
    4033: "DNS security introduction and requirements",
    4034: "Resource records for the DNS security extensions",
    4035: "Protocol modifications for the DNS security extensions",
    4055: "Additional RSA algorithms for X.509",
    4158: "X.509: certification path building",
    4343: "DNS case insensitivity clarification",
    4509: "SHA-256 in DS records",
    4592: "The role of wildcards in the DNS",
    5011: "Automated updates of DNSSEC trust anchors",
    5155: "DNSSEC hashed authenticated denial of existence",
    5234: "Augmented BNF for syntax specifications: ABNF",
    5280: "X.509 certificate and CRL profile",
    5321: "Simple mail transfer protocol",
    5322: "Internet message format",
    5452: "Measures for making DNS more resilient against forged answers",
    5702: "SHA-2 with RSA in DNSKEY and RRSIG records",
    5737: "IPv4 address blocks reserved for documentation",
    5758: "DSA and ECDSA identifiers for X.509",
    5890: "Internationalized domain names: definitions",
    5891: "Internationalized domain names in applications: protocol",
    5892: "The Unicode code points and IDNA",
    5952: "Text representation of IPv6 addresses",
    6052: "IPv6 addressing of IPv4/IPv6 translators",
    6066: "TLS extensions: extension definitions",
    6068: "The mailto URI scheme",
    6125: "Representation and verification of service identity in TLS",
    6152: "SMTP service extension for 8-bit MIME transport",
    6234: "US secure hash algorithms",
    6531: "SMTP extension for internationalized email",
    6532: "Internationalized email headers",
    6605: "ECDSA for DNSSEC",
    6672: "DNAME redirection in the DNS",
    6698: "The DNS-based authentication of named entities (TLSA)",
    6724: "Default address selection for IPv6",
    6335: "Service names and ports",
    6761: "Special-use domain names",
    6840: "Clarifications and implementation notes for DNSSEC",
    6891: "Extension mechanisms for DNS (EDNS(0))",
    7218: "Acronyms for DANE",
    7230: "HTTP/1.1 message syntax and routing",
    7231: "HTTP/1.1 semantics and content",
    7435: "Opportunistic security",
    7468: "Textual encodings of PKIX structures",
    7493: "The I-JSON message format",
    7505: "A null MX",
    7671: "DANE: updates and operational guidance",
    7672: "SMTP security via opportunistic DANE TLS",
    7766: "DNS transport over TCP",
    8080: "EdDSA for DNSSEC",
    8198: "Aggressive use of DNSSEC-validated cache",
    8259: "The JSON data interchange format",
    8305: "Happy Eyeballs version 2",
    8410: "Ed25519, Ed448, X25519 and X448 for X.509",
    8446: "TLS 1.3",
    8460: "SMTP TLS reporting",
    8461: "SMTP MTA strict transport security (MTA-STS)",
    8624: "Algorithm implementation requirements for DNSSEC",
    8659: "DNS certification authority authorization (CAA)",
    8767: "Serving stale data",
    8914: "Extended DNS errors",
    8996: "Deprecating TLS 1.0 and TLS 1.1",
    9110: "HTTP semantics",
    9112: "HTTP/1.1",
    9276: "Guidance for NSEC3 parameter settings",
    9325: "Recommendations for secure use of TLS",
    9460: "SVCB and HTTPS records",
    9525: "Service identity in TLS",
    9567: "DNS error reporting",
    9715: "IP fragmentation avoidance in DNS over UDP",
    9824: "Compact denial of existence in DNSSEC",
    9904: "DNSSEC cryptographic algorithm recommendation update process",
    9905: "Deprecating SHA-1 in DNSSEC",
}
"""What may be cited.  A number that is not here is a slip of the pen until somebody has looked it up."""

# The sections of the four standards that this project is about; a prefix stands for all below it.
SECTIONS = {
    8461: "1 1.1 2 3 3.1 3.2 3.3 3.4 4 4.1 4.2 5 5.1 6 7 7.1 7.2 8 8.1 8.2 8.3 8.4 9 9.1 9.2 9.3 "
    "10 10.1 10.2 10.3 10.4 10.5",
    8460: "1 1.1 2 3 3.1 3.1.1 3.1.2 4 4.1 4.2 4.2.1 4.2.2 4.3 4.3.1 4.3.2 4.3.2.1 4.3.2.2 4.3.3 4.3.4 4.4 4.5 "
    "5 5.1 5.2 5.3 5.3.1 5.4 5.5 5.6 6 6.1 6.2 6.3 6.4 6.5 6.6 7 8",
    7672: "1 1.1 1.2 1.3 1.3.1 1.3.2 1.3.3 1.3.4 2 2.1 2.1.1 2.1.2 2.1.3 2.2 2.2.1 2.2.2 2.2.3 "
    "3 3.1 3.1.1 3.1.2 3.1.3 3.2 3.2.1 3.2.2 3.2.3 4 5 6 7 8 8.1 8.2 9 9.1 9.2 10 11",
    7671: "1 1.1 2 2.1 3 4 4.1 4.2 4.3 4.4 5 5.1 5.2 5.2.1 5.2.2 5.2.3 5.3 5.4 6 7 8 8.1 8.2 8.3 8.4 9 "
    "10 10.1 10.1.1 10.1.2 10.2 10.3 11 12 13 14 15",
}

CITATION = re.compile(r"RFC[  ]?([0-9]+)")
LOOSE_SECTION = re.compile(r"RFC [0-9]+,? (?:[Ss]ection|[Ss]ec\.|ch\.) ?[0-9]")


def tracked_files() -> list[Path]:
    done = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked_files():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return found


def test_cited_rfcs_are_known_and_cited_in_one_way():
    slips = []
    for path in SOURCES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            where = f"{path.relative_to(ROOT)}:{number}"
            slips += [
                f"{where}: RFC {cited} is not known"
                for cited in CITATION.findall(line)
                if int(cited) not in KNOWN_RFCS
            ]
            if LOOSE_SECTION.search(line):
                slips.append(f"{where}: write 'RFC NNNN §x'")
    assert slips == []


def test_cited_sections_exist():
    slips = []
    for path in SOURCES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for rfc, cited in re.findall(r"RFC ([0-9]+) ((?:§[0-9.]*[0-9](?:, | and | or )?)+)", line):
                known = SECTIONS.get(int(rfc), "").split()
                slips += [
                    f"{path.relative_to(ROOT)}:{number}: RFC {rfc} has no §{section}"
                    for section in re.findall(r"§([0-9.]*[0-9])", cited)
                    if known and section not in known
                ]
    assert slips == []


def test_standards_and_decisions_cite():
    for package in ("standards", "decisions"):
        text = "".join(p.read_text(encoding="utf-8") for p in SOURCES if package in p.parts)
        assert len(re.findall(r"RFC [0-9]+ §", text)) > 20, package


FOREIGN = re.compile(
    r"\b(?:DESIGN|TASTE)(?:\.md| rule| §)|"  # documents that are not here
    r"/(?:work|root|home/[a-z]+|Users/[A-Za-z]+)/[a-z.]"  # somebody's machine
    r"|(?:--index-url|--extra-index-url|--find-links|--trusted-host)\b(?!\S* )"
    r"|https?://[^\s/]*(?:pythonhosted|pypi\.org|artifactory|nexus|proxy)[^\s]*"
)


def test_nothing_of_anybodys_machine_is_in_the_repository():
    slips = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path, text in texts()
        if path.name != "test_house.py" and (found := FOREIGN.search(text))
    ]
    assert slips == []


def modules_after(*arguments: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after running `arguments`."""
    program = (
        "import sys\n"
        f"sys.argv = {['mxseal', *arguments]!r}\n"
        "import mxseal\n"
        "if len(sys.argv) > 1:\n"
        "    from mxseal.cli import run\n"
        "    assert run(sys.argv[1:]) == 0\n"
        "sys.stderr.write('\\n'.join(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--version",)])
def test_starting_up_loads_nothing_heavy(arguments):
    heavy = {"asyncio", "ssl", "socket", "dns", "cryptography", "h11", "rich", "sqlite3", "http", "email"}
    assert modules_after(*arguments) & heavy == set()


def test_the_readme_names_commands_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    mentioned = set(re.findall(r"\bmake ([a-z]+)\b", readme)) - {"it"}
    assert {"setup", "system", "demo", "test"} <= mentioned
    assert mentioned <= targets

    from mxseal.cli import COMMANDS

    called = set(re.findall(r"`(?:\.venv/bin/)?mxseal ([a-z]+)", readme))
    assert called <= set(COMMANDS)
    assert set(COMMANDS) <= called


def test_ci_runs_the_readmes_test_command():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(r"^make test$", script, re.MULTILINE)
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_every_package_and_module_says_what_it_is():
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.stem not in {"__main__", "_version"}
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s#]+)(#[^)\s]*)?\)")


def test_links_between_documents_hold():
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path, text in texts()
        if path.suffix == ".md"
        for target, _ in LINK.findall(text)
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert dead == []


def test_indexes_name_what_there_is():
    listed = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    records = {path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md")}
    assert {name for name in records if f"({name})" not in listed} == set()
    pages = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    written = {
        str(path.relative_to(ROOT / "docs"))
        for folder in ("", "reference")
        for path in (ROOT / "docs" / folder).glob("*.md")
        if path.name != "README.md"
    }
    assert {name for name in written if f"({name})" not in pages} == set()


def test_locked_requirements_cover_the_dependencies():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[<>=!~ ]", line)[0] for line in project["dependencies"]}
    adr = (ROOT / "docs/adr/0002-few-dependencies.md").read_text(encoding="utf-8")
    for lock in ("run.lock", "dev.lock"):
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        locked = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
        assert wanted <= locked, lock
        assert text.count("--hash=sha256:") >= len(locked), lock
    assert [name for name in wanted if f"| {name} |" not in adr] == []
