"""Sockets: permissions, stale files, what is in the way, and those that systemd hands over."""

import asyncio
import os
import socket
import stat
import subprocess
import sys

import pytest

from mxseal.config import Listen
from mxseal.daemon.listeners import Permissions, open_listener
from mxseal.daemon.systemd import Notifier, inherited_sockets
from mxseal.vocabulary.faults import ConfigurationFault, UnavailableFault


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o600])
def test_a_unix_socket_has_its_permissions_from_the_first_moment(tools, tmp_path, mode):
    path = tools.unix_name(tmp_path)
    (sock,) = open_listener(Listen(str(path)), Permissions(mode))
    with sock:
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tools, tmp_path):
    path = tools.unix_name(tmp_path)
    (first,) = open_listener(Listen(str(path)), Permissions())
    with pytest.raises(UnavailableFault, match="in use"):
        open_listener(Listen(str(path)), Permissions())
    first.close()
    assert path.exists()
    (second,) = open_listener(Listen(str(path)), Permissions())
    with second, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_what_is_no_socket_stays(tools, tmp_path):
    path = tools.unix_name(tmp_path)
    path.write_text("somebody's")
    with pytest.raises(UnavailableFault, match="no socket"):
        open_listener(Listen(str(path)), Permissions())
    assert path.read_text() == "somebody's"


def test_a_place_that_cannot_be_had(tools, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableFault, match=f"127.0.0.1:{port}") as caught:
            open_listener(Listen(f"127.0.0.1:{port}"), Permissions())
        assert "ss -lntxp" in caught.value.cure
    with pytest.raises(UnavailableFault, match=r"192\.0\.2\.1") as caught:
        open_listener(Listen("192.0.2.1:0"), Permissions())
    assert "no such address" in caught.value.cure
    with pytest.raises(UnavailableFault) as caught:
        open_listener(Listen(str(tools.unix_name(tmp_path, "missing/x.sock"))), Permissions())
    assert "make the directory" in caught.value.cure


@pytest.mark.parametrize("who", [{"owner": "no-such-user"}, {"group": "no-such-group"}])
def test_nobody_of_that_name(tools, tmp_path, who):
    with pytest.raises(ConfigurationFault, match="no-such"):
        open_listener(Listen(str(tools.unix_name(tmp_path))), Permissions(**who))


def test_an_owner_and_a_group(tools, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tools.unix_name(tmp_path)
    (sock,) = open_listener(Listen(str(path)), Permissions(0o660, "daemon", "mail"))
    with sock:
        found = path.stat()
    import grp
    import pwd

    assert pwd.getpwuid(found.st_uid).pw_name == "daemon"
    assert grp.getgrgid(found.st_gid).gr_name == "mail"


def test_unix_and_tcp_and_the_end(tools, tmp_path):
    path = tools.unix_name(tmp_path)

    async def main():
        async with tools.running(places=("127.0.0.1:0", str(path))) as world:
            for number in (0, 1):
                assert await world.ask("QUERY dane.example", number=number) == ["OK dane"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert not path.exists()

    tools.run(main())


def test_the_end_leaves_a_successors_socket(tools, tmp_path):
    path = tools.unix_name(tmp_path)

    async def main():
        async with tools.running(places=(str(path),)):
            path.unlink()
            path.write_text("the successor's")
        assert path.read_text() == "the successor's"

    tools.run(main())


def test_a_start_that_fails_leaves_nothing_open(tools, tmp_path):
    path = tools.unix_name(tmp_path)

    async def main():
        with pytest.raises(UnavailableFault):
            async with tools.running(places=("127.0.0.1:0", str(path), "192.0.2.1:1")):
                pass
        assert not path.exists()

    tools.run(main())  # an open socket would be a ResourceWarning


def test_inherited_sockets_go_before_the_configuration(tools):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            place = f"127.0.0.1:{sock.getsockname()[1]}"
            async with tools.running(inherited={"socketmap": [sock]}) as world:
                assert world.daemon.listening["socketmap"] == [place]
                assert await world.ask("QUERY dane.example") == ["OK dane"]

    tools.run(main())


PROGRAM = """
import os, socket, sys
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[1]))
from mxseal.daemon.systemd import inherited_sockets
found = inherited_sockets()
print({name: [sock.getsockname()[1] for sock in socks] for name, socks in found.items()})
print([name for name in os.environ if name.startswith("LISTEN_")])
for socks in found.values():
    for sock in socks:
        assert not os.get_inheritable(sock.fileno())
        sock.close()
"""


@pytest.mark.parametrize("other_pid", [0, 1])
def test_systemd_hands_sockets_over(other_pid):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [sock.getsockname()[1] for sock in (one, two)]

        # What a service manager does between fork and exec.
        program = [sys.executable, "-c", PROGRAM, str(other_pid)]
        script = f'exec 3<&{one.fileno()} 4<&{two.fileno()}; exec "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "bash", *program],
            env=os.environ | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "socketmap:metrics"},
            pass_fds=(one.fileno(), two.fileno()),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    expected = {} if other_pid else {"socketmap": [ports[0]], "metrics": [ports[1]]}
    assert done.stdout.splitlines() == [str(expected), "[]"]


@pytest.mark.parametrize("environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "x"}])
def test_nothing_is_handed_over(environment):
    assert inherited_sockets(environment) == {}
    assert environment == {}


def test_what_the_service_manager_is_told(tools, tmp_path):
    path = tools.unix_name(tmp_path, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}

        async def main():
            told = []
            async with tools.running(notifier=Notifier(environment)) as world:
                told.append(manager.recv(500).decode())
                told.append(manager.recv(500).decode() if await asyncio.sleep(0) is None else "")
                world.daemon.reload()
                told += [manager.recv(500).decode(), manager.recv(500).decode()]
            return told

        told = tools.run(main())
        ready = [text for text in told if text.startswith("READY=1\nSTATUS=answering at 127.0.0.1:")]
        assert len(ready) == 2
        assert "WATCHDOG=1" in told
        assert any(text.startswith("RELOADING=1\nMONOTONIC_USEC=") for text in told)


def test_a_manager_that_is_away_matters_to_nobody(tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready("x")
    notifier.stopping()
    assert Notifier({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None
    assert Notifier({"WATCHDOG_USEC": "5000000"}).watchdog_seconds == 5.0
