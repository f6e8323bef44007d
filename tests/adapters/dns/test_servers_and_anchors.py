"""What users write: servers, resolv.conf, trust anchor files."""

import contextlib

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.adapters.dns import (
    TrustAdResolver,
    TrustAnchors,
    ValidatingResolver,
    load_trust_anchors,
    open_resolver,
    parse_server,
    system_servers,
)
from mxseal.adapters.dns.anchors import parse_trust_anchors
from mxseal.adapters.dns.system import parse_resolv_conf
from mxseal.vocabulary.faults import (
    ConfigurationFault,
    DataFault,
    Fault,
    UnavailableFault,
    UsageFault,
)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("192.0.2.1#5353", "192.0.2.1", 5353),  # dnsmasq
        ("192.0.2.1@5353", "192.0.2.1", 5353),  # unbound
        ("2001:DB8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
        ("2001:db8::1#5353", "2001:db8::1", 5353),
        ("2001:db8::1@5353", "2001:db8::1", 5353),
        ("::1", "::1", 53),
        ("[::1]:65535", "::1", 65535),
        (" 127.0.0.1 ", "127.0.0.1", 53),
    ],
)
def test_a_server(text, address, port):
    assert parse_server(text) == (address, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no address"),
        ("dns.example", "no address"),
        ("192.0.2.1:0", "a port is a number"),
        ("192.0.2.1:65536", "a port is a number"),
        ("192.0.2.1:domain", "a port is a number"),
        ("192.0.2.1:", "a port is a number"),
        ("192.0.2.256", "no address"),
        ("192.0.2", "no address"),
        ("[192.0.2.1", "no address"),
        ("[]:53", "no address"),
        ("2001:db8::g", "no address"),
        ("192.0.2.1:٣", "a port is a number"),
        ("\x1b[31m", "no address"),
    ],
)
def test_no_server(text, reason):
    with pytest.raises(UsageFault, match=reason) as fault:
        parse_server(text)
    assert "127.0.0.1:5353" in fault.value.cure
    assert "\x1b" not in str(fault.value)


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text):
    try:
        address, port = parse_server(text)
    except UsageFault:
        return
    assert parse_server(f"[{address}]:{port}") == (address, port)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ()),
        ("nameserver 192.0.2.1\n", ("192.0.2.1",)),
        (
            "# c\nsearch example.com\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n",
            ("192.0.2.1", "2001:db8::1"),
        ),
        ("nameserver\t192.0.2.1 # main\nnameserver 192.0.2.1\n", ("192.0.2.1",)),
        ("nameserver fe80::1%eth0\n", ()),
        ("nameserver localhost\nnameserver 192.0.2.2;x\n nameserver 192.0.2.3", ("192.0.2.2", "192.0.2.3")),
        ("nameserver\nnameserverx 192.0.2.1\n", ()),
        ("".join(f"nameserver 192.0.2.{i}\n" for i in range(30)), tuple(f"192.0.2.{i}" for i in range(8))),
    ],
)
def test_resolv_conf(text, servers):
    assert parse_resolv_conf(text) == tuple((server, 53) for server in servers)


def test_the_system_s_servers(tmp_path):
    path = tmp_path / "resolv.conf"
    with pytest.raises(UnavailableFault, match=r"resolv\.conf"):
        system_servers(path)
    path.write_bytes(b"\xff\xfe\nnameserver 192.0.2.1\n")
    assert system_servers(path) == (("192.0.2.1", 53),)
    path.write_text("search example.com\n")
    assert system_servers(path) == (("127.0.0.1", 53),)  # resolv.conf(5)
    path.write_text("nameserver fe80::1%eth0\n")
    with pytest.raises(UnavailableFault, match="can be used"):
        system_servers(path)
    path.write_text("#" * (1 << 17))
    with pytest.raises(ConfigurationFault):
        system_servers(path)


DS = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
KEY = "257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4="  # RFC 8080 §6.1


@pytest.mark.parametrize(
    "text",
    [
        f". IN DS {DS}\n",
        f". DS {DS}",
        f"; comment\n\n. 172800 IN DS {DS} ; tail\n",
        f". IN 2d DS {DS}\n",
        f". IN DNSKEY {KEY}\n",
        ". IN DNSKEY 257 3 15 (\n l02Woi0iS8Aa25FQkUd9RMzZ\n HJpBoRQwAQEX1SxZJA4= )\n",
        "   \n. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D084 58E880409BBC683457104237C7F8EC8D\n",
    ],
)
def test_anchors(text):
    assert len(parse_trust_anchors(text, source="a").zones[dns.name.root]) == 1


def test_anchors_of_several_zones():
    anchors = parse_trust_anchors(f". DS {DS}\nLeaf.test. DS {DS}\nleaf.test. DNSKEY {KEY}\n", source="a")
    leaf = dns.name.from_text("leaf.test.")
    assert len(anchors.zones[leaf]) == 2
    assert anchors.closest(dns.name.from_text("mail.leaf.test.")) == leaf
    assert anchors.closest(dns.name.from_text("other.test.")) == dns.name.root
    assert TrustAnchors({leaf: ()}).closest(dns.name.from_text("test.")) is None


def test_the_built_in_anchors_are_iana_s():
    records = TrustAnchors.for_root().zones[dns.name.root]
    assert {record.key_tag for record in records} == {20326, 38696}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None),
        ("; nothing\n", None),
        (". IN DS 20326 8 2 E06D44B8\n", 1),  # a digest that is too short
        (f". IN DS {DS}\n. IN A 192.0.2.1\n", 2),
        ("\n\n. IN DS x 8 2 00\n", 3),
        (". IN DNSKEY 0 3 15 AAAA\n", 1),
        (f" IN DS {DS}\n", 1),
        (f"a..b. IN DS {DS}\n", 1),
        (". IN\n", 1),
        (".\n", 1),
        ("<html>\n", 1),
        ("\0\x1b[31m", 1),
        (". IN DS (", 1),
        ('. IN DS "', 1),
    ],
)
def test_bad_anchors_are_shown_with_their_place(text, line):
    with pytest.raises(DataFault) as fault:
        parse_trust_anchors(text, source="file.ds")
    message = str(fault.value)
    assert message.startswith("file.ds:" if line is None else f"file.ds:{line}:"), message
    assert "\n" not in message
    assert "\x1b" not in message
    assert fault.value.cure


@given(st.text(max_size=200))
def test_no_anchor_file_raises_anything_else(text):
    with contextlib.suppress(DataFault):
        assert parse_trust_anchors(text, source="a").zones


def test_anchor_files(tmp_path):
    path = tmp_path / "root.ds"
    with pytest.raises(DataFault, match="No such file"):
        load_trust_anchors(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(DataFault):
        load_trust_anchors(path)
    path.write_bytes(b" " * (1 << 21))
    with pytest.raises(DataFault, match="more than"):
        load_trust_anchors(path)
    path.write_text(f". DS {DS}\n")
    assert load_trust_anchors(path).zones
    resolver = open_resolver(["192.0.2.1:5353", "192.0.2.2"], trust_anchor_file=path)
    assert isinstance(resolver, ValidatingResolver)
    assert resolver.transport.servers == (("192.0.2.1", 5353), ("192.0.2.2", 53))


@pytest.mark.parametrize("server", ["127.0.0.53", "127.0.0.54", "127.0.0.11:53"])
def test_the_ad_bit_of_known_stubs_is_refused(server):
    with pytest.raises(ConfigurationFault, match="AD bit") as fault:
        open_resolver([server], trust_ad=True)
    assert "unbound" in fault.value.cure
    assert isinstance(open_resolver([server], trust_ad=True, force_stub=True), TrustAdResolver)
    assert isinstance(open_resolver([server]), ValidatingResolver)


def test_faults_have_cures():
    with pytest.raises(Fault) as fault:
        open_resolver(["nonsense"])
    assert fault.value.cure
