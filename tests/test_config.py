"""The configuration: who goes before whom, and mistakes that are told with place and cure."""

import json
import tomllib

import pytest

from mxseal.cli import run
from mxseal.config import Listen, Settings, as_toml, build, given, load, show
from mxseal.vocabulary.faults import ConfigurationFault

FILE = """\
# ours
[serve]
socketmap = ["127.0.0.1:8461", "/run/mxseal/socketmap.sock"]
answers = 500   # few

[dns]
resolvers = ["127.0.0.1:5353"]
timeout = 2

[log]
level = "debug"
"""

MISTAKES = {
    # text: where, what, cure
    "[serve]\nsocketmaps = []\n": ("line 2", "no key 'socketmaps'", "did you mean 'socketmap'?"),
    "[serve]\n\n  answers = 1\n": ("line 3", "serve.answers: Expected `int` >= 100", "Answers kept ready"),
    '[serve]\nanswers = "500"\n': ("line 2", "Expected `int`, got `str`", "answers"),
    '[serve]\nsocketmap = "127.0.0.1:1"\n': ("line 2", "Expected `array`, got `str`", "socketmap"),
    '[serve]\nhttp = [\n "127.0.0.1:1",\n "nowhere"]\n': ("line 2", "serve.http, item 2", "v1/policy"),
    '[serve]\nmixed = "both"\n': ("line 2", "Invalid enum value 'both'", "dane-only"),
    "[serv]\nx = 1\n": ("line 1", "no section is called 'serv'", "did you mean 'serve'?"),
    "\n[zzz]\n": ("line 2", "no section is called 'zzz'", "dns, policies, serve, log"),
    "serve.answer = 1\n": ("line 1", "no key 'answer'", "did you mean 'answers'?"),
    "serve = 1\n": ("line 1", "serve is a section", "[serve]"),
    "serve = { answers = 1 }\n": ("", "serve.answers", "Answers"),
    "[serve\n": ("", "no TOML", "at line 1"),
    "[serve]\nx = \n": ("", "no TOML", "at line 2"),
    '[policies]\nallow_private = "yes"\n': ("line 2", "Expected `bool`, got `str`", "laboratory"),
    "[dns]\ntimeout = 0.0\n": ("line 2", "Expected `float` >= 0.1", "Seconds"),
}

PLACES = {
    "127.0.0.1:8461": ("127.0.0.1", 8461),
    "[::1]:8461": ("::1", 8461),
    "localhost:0": ("localhost", 0),
    "0.0.0.0:25": ("0.0.0.0", 25),
}
NO_PLACES = ["", ":25", "8461", "127.0.0.1", "::1:25", "[127.0.0.1]:25", "a b:25", "h:65536", "h:-1", "h:x",
             "run/x.sock", "/" + "x" * 107, "/a\0b"]  # fmt: skip


def settings_of(tmp_path, text, environment=None):
    file = tmp_path / "mxseal.toml"
    file.write_text(text)
    return load(file, environment=environment or {})


def test_all_has_defaults():
    assert build({}) == Settings()
    assert [place.port for place in Settings().serve.socketmap] == [8461, 8642, 5461]


def test_later_sources_go_before_earlier_ones(tmp_path):
    more = tmp_path / "conf.d"
    more.mkdir()
    (more / "20.toml").write_text("[serve]\nanswers = 2000\n")
    (more / "10.toml").write_text('[serve]\nanswers = 1000\nmixed = "dane-only"\n')
    (more / "30.conf").write_text("not read")
    environment = {
        "MXSEAL_LOG__LEVEL": "error",
        "MXSEAL_SERVE__SOCKETMAP": "127.0.0.1:1, [::1]:2 /run/x",
        "MXSEAL_POLICIES__ALLOW_PRIVATE": "true",
        "MXSEAL_POLICIES__HTTPS_PORT": "8443",
        "MXSEAL_DEBUG": "1",
        "OTHER__THING": "x",
    }
    found = settings_of(tmp_path, FILE, environment)
    assert found.serve.answers == 2000
    assert found.serve.mixed == "dane-only"
    assert found.serve.socketmap == ("127.0.0.1:1", "[::1]:2", "/run/x")
    assert (found.log.level, found.dns.timeout) == ("error", 2.0)
    assert (found.policies.allow_private, found.policies.https_port) == (True, 8443)


def test_a_user_has_a_file_of_his_own(tmp_path, monkeypatch):
    own = tmp_path / ".config/mxseal"
    own.mkdir(parents=True)
    (own / "mxseal.toml").write_text(FILE)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert load(environment={"HOME": str(tmp_path)}).serve.answers == 500
    assert load(environment={"XDG_CONFIG_HOME": str(tmp_path / ".config")}).serve.answers == 500
    assert load(environment={"MXSEAL_CONFIG": str(own / "mxseal.toml")}).serve.answers == 500


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_told_with_place_and_cure(tmp_path, text):
    line, what, cure = MISTAKES[text]
    with pytest.raises(ConfigurationFault) as caught:
        settings_of(tmp_path, text)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/mxseal.toml")
    assert what in told
    assert f"mxseal.toml, {line}:" in told or not line
    assert cure in caught.value.cure or cure in told


WRONG_VARIABLES = {
    "MXSEAL_SERVE__ANSWER": ("500", "did you mean 'answers'?"),
    "MXSEAL_SERV__ANSWERS": ("500", "did you mean 'serve'?"),
    "MXSEAL_SERVE__ANSWERS": ("many", "Answers kept"),
    "MXSEAL_SERVE__HTTP": ("127.0.0.1:1,x", "v1/policy"),
}


@pytest.mark.parametrize("name", WRONG_VARIABLES)
def test_so_are_mistakes_in_the_environment(name):
    value, cure = WRONG_VARIABLES[name]
    with pytest.raises(ConfigurationFault, match=name) as caught:
        load(environment={name: value, "HOME": "/nonexistent"})
    assert cure in caught.value.cure


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigurationFault, match="No such file"):
        load(tmp_path / "missing.toml", environment={})
    (tmp_path / "latin.toml").write_bytes(b"[serve]\n# \xfc\n")
    with pytest.raises(ConfigurationFault, match="line 2: not UTF-8"):
        load(tmp_path / "latin.toml", environment={})
    with pytest.raises(ConfigurationFault, match="directory"):
        load(tmp_path, environment={})


@pytest.mark.parametrize("text", PLACES)
def test_places_to_listen_at(text):
    place = Listen(text)
    assert (place.host, place.port, place.path) == (*PLACES[text], None)


@pytest.mark.parametrize("text", NO_PLACES)
def test_no_places(text):
    with pytest.raises(ValueError, match=r"neither|no host|at most"):
        Listen(text)


def test_what_is_shown_reads_back(tmp_path):
    file = tmp_path / "mxseal.toml"
    file.write_text(FILE)
    values = given(file, environment={"MXSEAL_SERVE__MIXED": "dane-only"})
    text = "\n".join(show(build(values), values))
    assert f"answers = 500  # {file}, line 4" in text
    assert 'mixed = "dane-only"  # environment variable MXSEAL_SERVE__MIXED' in text
    file.write_text(text)
    assert load(file, environment={}) == build(values)
    assert tomllib.loads(f"x = {as_toml(('a, b', 'c'))}")["x"] == ["a, b", "c"]


def test_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MXSEAL_CONFIG", raising=False)
    file = tmp_path / "mxseal.toml"
    overrides = tmp_path / "overrides"
    overrides.write_text("example.com dane-only\n")
    file.write_text(f'{FILE}[policies]\nstore = "memory"\n')
    monkeypatch.setenv("MXSEAL_SERVE__OVERRIDES", str(overrides))
    assert run(["config", "check", "--config", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    assert run(["config", "show", "--config", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["settings"]["policies"]["store"] == "memory"
    assert shown["sources"]["serve.answers"] == f"{file}, line 4"
    assert run(["config", "show", "--config", str(file)]) == 0
    assert "[serve]" in capsys.readouterr().out


COMPLAINTS = {
    "[serve]\nanswer = 5\n": "did you mean 'answers'?",
    '[dns]\nresolvers = ["nowhere"]\n': "dns.resolvers",
    '[dns]\ntrust_ad = "yes"\n': "dns.resolvers",
    '[policies]\nca_file = "/nonexistent/ca.pem"\n': "/nonexistent/ca.pem",
    '[dns]\ntrust_anchor = "/nonexistent/root.key"\n': "/nonexistent/root.key",
    '[serve]\noverrides = "/nonexistent/overrides"\n': "/nonexistent/overrides",
}


@pytest.mark.parametrize("text", COMPLAINTS)
def test_check_complains(tmp_path, capsys, text):
    file = tmp_path / "mxseal.toml"
    file.write_text(text)
    assert run(["config", "check", "--config", str(file)]) in (65, 69, 78)
    told = capsys.readouterr().err
    assert COMPLAINTS[text] in told
    assert "Traceback" not in told


def test_check_complains_of_an_override_with_its_line(tmp_path, capsys):
    (tmp_path / "overrides").write_text("a.example may\nb.example sekure\n")
    file = tmp_path / "mxseal.toml"
    file.write_text(f'[serve]\noverrides = "{tmp_path}/overrides"\n')
    assert run(["config", "check", "--config", str(file)]) == 78
    assert "line 2, column 11" in capsys.readouterr().err
