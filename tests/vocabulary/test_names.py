"""Host names, addresses and next-hops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.vocabulary.names import (
    Address,
    HostName,
    InvalidName,
    NextHop,
    parse_host_name,
    parse_next_hop,
)
from mxseal.vocabulary.rejection import Rejection

GOOD_HOSTS = [
    ("example.com", "example.com"),
    ("EXAMPLE.com.", "example.com"),
    ("localhost", "localhost"),
    ("a_b._tcp.example", "a_b._tcp.example"),  # seen in MX records
    ("3com.example", "3com.example"),
    ("1.2.3.4.example", "1.2.3.4.example"),
    ("Bücher.Example.", "xn--bcher-kva.example"),
    ("BÜCHER.example", "xn--bcher-kva.example"),
    ("bu\u0308cher.example", "xn--bcher-kva.example"),  # the same, decomposed
    ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
    ("faß.example", "xn--fa-hia.example"),  # not transitional
    ("例え。テスト", "xn--r8jz45g.xn--zckzah"),  # with the ideographic full stop
    ("ａ.example", "a.example"),  # full width
    ("xn--ls8h.la", "xn--ls8h.la"),  # an emoji: not in IDNA 2008, and delegated
    ("x" * 63 + ".example", "x" * 63 + ".example"),
    (".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abc"),  # 253 characters
]


@pytest.mark.parametrize(("text", "canonical"), GOOD_HOSTS)
def test_good_host_names(text, canonical):
    host = HostName(text)
    assert host == canonical
    assert parse_host_name(text) == canonical


BAD_HOSTS = [
    # text, place
    ("", (0, 0)),
    (".", (0, 1)),
    ("..", (0, 1)),
    ("a..b", (2, 3)),
    (".a", (0, 1)),
    ("a b", (1, 2)),
    ("a.b c", (3, 4)),
    ("a/b", (1, 2)),
    ("a\n", (1, 2)),
    ("a\x00", (1, 2)),
    ("a.-b", (2, 3)),
    ("a.b-.c", (3, 4)),
    ("a." + "x" * 64, (2, 66)),
    ("*.example", (0, 1)),
    ("192.0.2.1", (0, 9)),
    ("192.0.2.1.", (0, 10)),
    ("25", (0, 2)),
    ("１.２.３.４", (0, 7)),  # maps to an address
    ("2001:db8::1", (4, 5)),
    ("bücher..example", (7, 8)),  # places are those in the text, not in its mapping
    ("bücher.-x", (7, 8)),
    ("bücher.\x1b", (7, 8)),
    ("a.⒈b", (2, 4)),  # U+2488 would map to two labels
    ("a.\u202eb", (2, 4)),
    ("a.💩", (2, 3)),
    ("a.xn--99999999", (2, 14)),  # no Punycode
    (".".join(["a" * 49] * 5) + ".abcd", (253, 254)),
    ("a" * 5000, (253, 5000)),
    ("ü" * 5000, (253, 5000)),
]


@pytest.mark.parametrize(("text", "place"), BAD_HOSTS)
def test_bad_host_names(text, place):
    rejection = parse_host_name(text)
    assert isinstance(rejection, Rejection), rejection
    assert (rejection.start, rejection.end) == place
    assert rejection.text == text
    with pytest.raises(InvalidName) as caught:
        HostName(text)
    assert caught.value.rejection == rejection


def test_what_a_host_name_knows():
    host = HostName("mx.bücher.example")
    assert host.labels == ("mx", "xn--bcher-kva", "example")
    assert host.parent == "xn--bcher-kva.example"
    assert HostName("example").parent is None
    assert host.unicode == "mx.bücher.example"
    assert HostName("xn--ls8h.la").unicode == "xn--ls8h.la"
    assert (HostName("a-b.c").is_strict, HostName("a_b.c").is_strict) == (True, False)
    assert host.is_within("xn--bcher-kva.example")
    assert host.is_within("mx.xn--bcher-kva.example")
    assert not HostName("badexample.com").is_within("example.com")


@given(st.text(st.characters() | st.sampled_from("aB.-_üßx。xn"), max_size=30))
def test_law_a_host_name_is_its_own_canonical_form(text):
    host = parse_host_name(text)
    if isinstance(host, Rejection):
        assert 0 <= host.start <= host.end <= len(text)
    else:
        again = HostName(str(host))
        assert again == host
        assert host.isascii()
        assert host == host.lower()
        assert len(host) <= 253
        assert HostName(host) is host
        assert not set(host) & set(" :/[]*\\\r\n\t\x00")


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical", "version", "is_global"),
    [
        ("192.0.2.1", "192.0.2.1", 4, False),
        ("8.8.8.8", "8.8.8.8", 4, True),
        ("10.0.0.1", "10.0.0.1", 4, False),
        ("127.0.0.1", "127.0.0.1", 4, False),
        ("169.254.169.254", "169.254.169.254", 4, False),
        ("100.64.0.1", "100.64.0.1", 4, False),
        ("224.0.0.1", "224.0.0.1", 4, False),
        ("0.0.0.0", "0.0.0.0", 4, False),
        ("255.255.255.255", "255.255.255.255", 4, False),
        ("2001:DB8:0:0::1", "2001:db8::1", 6, False),
        ("2606:4700::1111", "2606:4700::1111", 6, True),
        ("::1", "::1", 6, False),
        ("::", "::", 6, False),
        ("fe80::1", "fe80::1", 6, False),
        ("fd00::1", "fd00::1", 6, False),
        ("fec0::1", "fec0::1", 6, False),
        ("ff02::1", "ff02::1", 6, False),
        ("::7f00:1", "::7f00:1", 6, False),  # IPv4-compatible, deprecated
        ("2002:7f00:1::", "2002:7f00:1::", 6, False),  # 6to4 of 127.0.0.1
        ("64:ff9b::7f00:1", "64:ff9b::7f00:1", 6, False),  # NAT64 of 127.0.0.1
        ("64:ff9b::808:808", "64:ff9b::808:808", 6, True),
    ],
)
def test_addresses(text, canonical, version, is_global):
    address = Address(text)
    assert (address, address.version, address.is_global) == (canonical, version, is_global)
    assert Address(address) is address


@pytest.mark.parametrize("text", ["::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254"])
def test_an_ipv4_address_in_ipv6_clothes_is_judged_as_what_it_is(text):
    assert not Address(text).is_global
    assert Address("::ffff:8.8.8.8").is_global


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.256", "01.2.3.4", "0x7f.1", "1.2.3.4 ", "١.2.3.4", "example.com", ":::", "1::2::3",
     "fe80::1%eth0", "fe80::1%\x1b[2J", "[::1]", "::1/128"],
)  # fmt: skip
def test_no_addresses(text):
    with pytest.raises(InvalidName):
        Address(text)


# --- next-hops -----------------------------------------------------------------------------------

NEXT_HOPS = [
    ("example.com", NextHop(host=HostName("example.com"))),
    ("Example.COM.", NextHop(host=HostName("example.com"))),
    ("bücher.example:25", NextHop(host=HostName("xn--bcher-kva.example"), port=25)),
    ("example.com:587", NextHop(host=HostName("example.com"), port=587)),
    ("[mx.example.com]", NextHop(host=HostName("mx.example.com"), uses_mx=False)),
    ("[mx.example.com]:587", NextHop(host=HostName("mx.example.com"), port=587, uses_mx=False)),
    ("[192.0.2.1]", NextHop(address=Address("192.0.2.1"), uses_mx=False)),
    ("[192.0.2.1]:25", NextHop(address=Address("192.0.2.1"), port=25, uses_mx=False)),
    ("[IPv6:2001:db8::1]", NextHop(address=Address("2001:db8::1"), uses_mx=False)),
    ("[ipv6:2001:DB8:0::1]:25", NextHop(address=Address("2001:db8::1"), port=25, uses_mx=False)),
    ("[2001:db8::1]:65535", NextHop(address=Address("2001:db8::1"), port=65535, uses_mx=False)),
    (".example.com", NextHop(host=HostName("example.com"), is_parent=True)),
]


@pytest.mark.parametrize(("text", "expected"), NEXT_HOPS)
def test_good_next_hops(text, expected):
    assert parse_next_hop(text) == expected
    assert parse_next_hop(str(expected)) == expected


BAD_NEXT_HOPS = [
    # text, place
    ("", (0, 0)),
    (".", (1, 1)),
    ("..example.com", (1, 2)),
    ("example.com:", (12, 12)),
    ("example.com:0", (12, 13)),
    ("example.com:65536", (12, 17)),
    ("example.com:1e3", (12, 15)),
    ("example.com:٢٥", (12, 14)),
    ("example.com:-25", (12, 15)),
    ("example.com:25:25", (11, 12)),
    ("exa mple.com:25", (3, 4)),
    ("[mx.example.com", (15, 15)),
    ("mx.example.com]", (14, 15)),
    ("[mx.example.com]x", (16, 17)),
    ("[mx.example.com]25", (16, 18)),
    ("[[mx]]", (5, 6)),
    ("[]", (1, 1)),
    ("[.example.com]", (1, 2)),
    ("[192.0.2.256]", (1, 12)),
    ("[2001:db8::g]", (1, 12)),
    ("[IPv6:192.0.2.1]", (1, 15)),
    ("[IPv6:example.com]", (1, 17)),
    ("[fe80::1%eth0]", (1, 13)),
    ("[a b]:25", (2, 3)),
    ("192.0.2.1", (0, 9)),
    ("2001:db8::1", (0, 11)),
    ("example.com\n", (11, 12)),
    ("example.com:25\n", (12, 15)),
    ("user@example.com", (4, 5)),
    ("a" * 100_000, (253, 100_000)),
]


@pytest.mark.parametrize(("text", "place"), BAD_NEXT_HOPS)
def test_bad_next_hops(text, place):
    rejection = parse_next_hop(text)
    assert isinstance(rejection, Rejection), rejection
    assert (rejection.start, rejection.end) == place
    assert rejection.rule == "next-hop"


@pytest.mark.parametrize("text", ["192.0.2.1", "2001:db8::1"])
def test_a_bare_ipv6_address_is_told_its_brackets(text):
    if ":" in text:
        assert f"[{text}]" in parse_next_hop(text).message
    else:
        assert "IP address" in parse_next_hop(text).message


@pytest.mark.parametrize(
    ("text", "elsewhere"),
    [
        ("192.0.2.1", True),
        ("10.0.0.1", True),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("2001:db8::1", True),
        ("fd00::1", True),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:192.0.2.1", True),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_addresses_of_other_machines(text, elsewhere):
    assert Address(text).is_elsewhere is elsewhere


@given(st.text(st.sampled_from("aB.-[]:0125ü% IPv6"), max_size=25))
def test_law_the_canonical_form_parses_to_the_same_next_hop(text):
    next_hop = parse_next_hop(text)
    if isinstance(next_hop, Rejection):
        assert 0 <= next_hop.start <= next_hop.end <= len(text)
    else:
        assert parse_next_hop(str(next_hop)) == next_hop
        assert (next_hop.host is None) != (next_hop.address is None)


@given(st.ip_addresses(), st.none() | st.integers(1, 65535))
def test_law_addresses_as_next_hops(ip, port):
    next_hop = NextHop(address=Address(str(ip).partition("%")[0]), port=port, uses_mx=False)
    assert parse_next_hop(str(next_hop)) == next_hop
