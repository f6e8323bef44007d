"""``mxseal demo``: the whole story in under a minute, on a small internet of its own.

Nothing here is a recording.  A laboratory is started, letters are really sent
and really read, and each screen shows what came out; if it is not what the
story tells, the command says so and exits 1.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from mxseal.cli.lab import program_name
from mxseal.cli.output import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from mxseal.decisions.checkup import Judgement
    from mxseal.decisions.mailing import Fate
    from mxseal.journeys.discover_delivery import Discovery
    from mxseal.lab import Attack, Lab
    from mxseal.lab.sender import Letter

WIDTH: Final = 96

# Colours that can be read on dark and on light ground alike.
GOOD, BAD, ODD, DIM, STRONG, ACCENT = "green", "red", "dark_orange3", "dim", "bold", "cyan"

_TIED: Final = "\ue000"
"""Stands for a space at which no line is broken; rich breaks at U+00A0, too."""

_PACE: Final = 0.65
"""Seconds of pause for each beat, so that the story takes about twenty."""

WELL_KEPT: Final = ("good-dane.test", "good-sts.test", "good-both.test")
SLOPPY: Final = (
    "plain.test",
    "tlsa-no-next-key.test",
    "tlsa-mismatch.test",
    "expired-cert.test",
    "sts-policy-cert.test",
    "mx-cname.test",
)
ATTACKED: Final = ("starttls-stripped.test", "dns-forged.test", "hijacked.test")


@click.command()
@click.option("--fast", is_flag=True, help="Without pauses; they are left out anyway where output is piped.")
def demo(fast: bool) -> int:
    """Tell the whole story in under a minute, on a small internet of its own.

    Needs neither root nor a network.  Exit code 0 if everything came out as
    told, 1 if not.
    """
    return asyncio.run(_tell(fast))


async def _tell(fast: bool) -> int:
    from mxseal.lab import Lab

    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with Lab() as lab:
        story = _Story(lab, fast=fast, started=loop.time() - begun)
        await story.tell()
    return story.end()


class _Story:
    """The five acts, on one laboratory."""

    def __init__(self, lab: "Lab", *, fast: bool, started: float) -> None:
        from mxseal.lab.sender import StrictSender

        self._lab = lab
        self._started = started
        self._out: Console = console()
        self._paced = self._out.is_terminal and not fast
        self._out.width = min(self._out.width, WIDTH) if self._out.is_terminal else WIDTH
        self._sender = StrictSender(lab)
        self._queue: list[Letter] = []
        self._surprises: list[str] = []

    async def tell(self) -> None:
        await self._opening()
        await self._as_it_was()
        await self._with_strict_eyes()
        await self._sealed()
        await self._attacked()
        await self._what_next()

    def end(self) -> int:
        """The exit code; says what did not come out as told."""
        for surprise in self._surprises:
            self._say((f"  ✗ not as told: {surprise}", BAD))
        return 1 if self._surprises else 0

    # --- telling ---

    def _say(self, *parts: "str | tuple[str, str] | Text") -> None:
        from rich.text import Text

        self._out.print(Text.assemble(*parts))

    def _row(
        self, mark: tuple[str, str], label: str, text: "str | Text", section: str = "", *, lead: str = ""
    ) -> None:
        """A mark, a label, and a text that is wrapped beside them."""
        from rich.text import Text

        head = Text.assemble("    ", mark, " ", (f"{label:<15}", DIM))
        body = Text()
        if lead:
            body.append(f"{lead}: ", f"bold {mark[1]}")
        body.append(text)
        if section:
            # An RFC and its section stay together on one line.
            body.append("  ")
            body.append(section.replace(" ", _TIED), ACCENT)
        self._hang(head, body)

    def _hang(self, head: "Text", body: "Text") -> None:
        """Print a head, and beside it a body over as many lines as it takes."""
        from rich.text import Text

        room = max(20, self._out.width - head.cell_len)
        for number, line in enumerate(body.wrap(self._out, room)):
            line.rstrip()
            line.plain = line.plain.replace(_TIED, " ")
            self._out.print(Text.assemble(head if number == 0 else " " * head.cell_len, line))

    async def _beat(self, beats: float) -> None:
        if self._paced:
            await asyncio.sleep(beats * _PACE)

    async def _act(self, number: int, title: str) -> None:
        head = f"── {number} ── {title} "
        self._out.print()
        self._say((head, STRONG), ("─" * max(0, self._out.width - len(head)), DIM))
        self._out.print()
        await self._beat(0.6)

    def _expect(self, truth: bool, otherwise: str) -> None:
        if not truth:
            self._surprises.append(otherwise)

    def _letter(self, domain: str) -> "Letter":
        from mxseal.lab.sender import Letter

        text = (
            f"From: Anna <anna@sender.test>\nTo: Otto <otto@{domain}>\nSubject: The spare key\n\n"
            "It is under the third flowerpot.\n"
        )
        return Letter("anna@sender.test", f"otto@{domain}", text)

    async def _send_as_of_old(self, domain: str) -> tuple["Fate", bool]:
        """The result, and whether the attacker could read the letter."""
        from mxseal.lab.sender import send_as_of_old

        before = len(self._lab.mail)
        letter = self._letter(domain)
        result = await send_as_of_old(letter, self._lab.resolver, port=self._lab.smtp_port)
        return result, any(mail.attacker_read for mail in self._lab.mail[before:])

    # --- the acts ---

    async def _opening(self) -> None:
        lab = self._lab
        self._out.print()
        self._say(("MXSeal", STRONG), ("  how mail travels, and who can read it on the way", DIM))
        self._out.print()
        self._say(
            f"A small internet has come up on this machine in {self._started:.1f} seconds: {len(lab.scenarios)} domains,"
        )
        self._say("mail servers, policy hosts, a CA, and a signed DNS root of its own.")
        self._say(
            ("Anna", STRONG),
            " writes letters, ",
            ("Otto", STRONG),
            " gets them, ",
            ("Eve", BAD),
            " sits on the line.",
        )
        await self._beat(2.0)

    async def _as_it_was(self) -> None:
        from mxseal.decisions.mailing import Delivered
        from mxseal.lab import Attack

        domain = "plain.test"
        await self._act(1, "TLS, if it is offered")
        honest = await self._ehlo(domain)
        result, read = await self._send_as_of_old(domain)
        self._expect(isinstance(result, Delivered) and result.tls != "" and not read, f"mail to {domain}")
        if isinstance(result, Delivered):
            self._say(
                ("  Anna ", STRONG),
                (f"━━━━━━━ {result.tls} ━━━━━━━▶", GOOD),
                f" {result.host}   ",
                ("delivered", GOOD),
            )
        await self._beat(1.0)
        self._out.print()
        self._say("  Now ", ("Eve", BAD), " takes one line out of what the server says to EHLO:")
        self._out.print()
        self._lab.attack(domain, Attack.STRIP_STARTTLS)
        stripped = await self._ehlo(domain)
        for line in honest[1:]:
            gone = "STARTTLS" in line and not any("STARTTLS" in kept for kept in stripped)
            self._say(("    ✂ " if gone else "      ", BAD), (line, f"strike {BAD}" if gone else DIM))
            await self._beat(0.25)
        self._out.print()
        await self._beat(0.7)
        result, read = await self._send_as_of_old(domain)
        self._lab.calm(domain)
        self._expect(read, "Eve should have read the letter")
        if isinstance(result, Delivered):
            way = result.tls or "in clear"
            self._say(
                *(("  Anna ", STRONG), (f"──── {way} ──▶", BAD), (" Eve ", f"bold {BAD}"), ("────▶", BAD)),
                *(f" {result.host}   ", ("delivered, and read:", BAD)),
            )
        for mail in self._lab.mail[-1:]:
            for line in mail.content.decode().splitlines()[2:]:
                self._say(("    │ ", BAD), line)
                await self._beat(0.3)
        self._out.print()
        self._say("  No error, no warning: SMTP was made like that.", ("  RFC 3207 §6", ACCENT))
        await self._beat(1.8)

    async def _ehlo(self, domain: str) -> list[str]:
        """The lines with which the first MX host of a domain answers EHLO."""
        (address, *_) = self._lab.addresses(f"mx1.{domain}")
        reader, writer = await asyncio.open_connection(str(address), self._lab.smtp_port)
        lines: list[str] = []
        await reader.readline()
        writer.write(b"EHLO mail.sender.test\r\n")
        while not lines or lines[-1][3:4] == "-":
            lines.append((await reader.readline()).decode().rstrip())
        writer.close()
        await writer.wait_closed()
        return lines

    async def _with_strict_eyes(self) -> None:
        await self._act(2, "The same internet, seen by a strict sender")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        names = (*WELL_KEPT, *SLOPPY, *ATTACKED)
        judgements = dict(zip(names, await self._examine(names), strict=True))
        spent = loop.time() - begun
        for title, group in (("well kept", WELL_KEPT), ("sloppy", SLOPPY), ("attacked", ATTACKED)):
            self._say((f" {title}", DIM))
            for name in group:
                self._judged(name, judgements[name])
                await self._beat(0.12)
        self._out.print()
        self._say(
            *(("   sealed", GOOD), " authenticated, or not sent · "),
            *(("open", ODD), " Eve can read it · "),
            *(("broken", BAD), " mail waits"),
        )
        self._say((f"   {len(names)} domains examined from all sides in {spent:.1f} seconds", DIM))
        await self._beat(3.0)

    async def _examine(self, names: Sequence[str]) -> "list[Judgement]":
        from mxseal.decisions.checkup import judge
        from mxseal.vocabulary.names import HostName
        from mxseal.wiring import World

        world = World(self._lab.world)
        examiner = world.examiner()
        collected = await asyncio.gather(*(examiner.examine(HostName(name)) for name in names))
        return [judge(evidence, world.clock.now(), roots=world.judging_roots) for evidence in collected]

    def _judged(self, name: str, judgement: "Judgement") -> None:
        from rich.text import Text

        from mxseal.decisions.checkup.catalogue import CATALOGUE
        from mxseal.vocabulary.findings import Severity

        expected = {"sealed": "sealed", "open": "open", "waits": "broken"}[self._lab.scenarios[name].fate]
        self._expect(judgement.state == expected, f"{name} is {judgement.state}")
        style = {"sealed": GOOD, "open": ODD, "broken": BAD}[judgement.state]
        # TLS001 draws the sum of what others say in detail.
        told = [each for each in judgement.findings if each.severity is not Severity.NOTE]
        told = [each for each in told if each.id != "TLS001"] or told
        finding = told[0] if told else None
        sentences = [f"by {_seals(judgement)}"] if judgement.state == "sealed" else []
        if finding is not None:
            sentences.append(CATALOGUE[finding.id].title)
        head = Text.assemble(
            *("   ", (f"{name:<23}", STRONG), (f"{judgement.state:<8}", style)),
            (f"{finding.id if finding else '':<9}", ACCENT),
        )
        self._hang(head, Text(". ".join(sentences)))

    async def _sealed(self) -> None:
        await self._act(3, "Two letters go out, sealed")
        for number, domain in enumerate(("good-dane.test", "good-sts.test")):
            if number:
                self._out.print()
            self._say(("  Anna ", STRONG), (f"→ otto@{domain}", STRONG))
            discovery, result = await self._sender.send(self._letter(domain))
            await self._show_route(discovery)
            self._show_result(result, waits_is_right=False, domain=domain)
            await self._beat(1.5)

    async def _show_route(self, discovery: "Discovery") -> None:
        from mxseal.decisions.delivery import Level

        mx = discovery.mx
        if mx is not None:
            chain = " → ".join(zone.zone for zone in mx.zones)
            good = mx.is_secure
            text = f"{chain}: each answer is signed" if good else f"{chain}: no signatures here, so no DANE"
            self._row(("✓", GOOD) if good else ("·", DIM), "DNSSEC", text)
            await self._beat(0.5)
        for host in discovery.decision.hosts:
            if host.level is Level.DANE:
                text = f"{len(host.records)} TLSA records at {host.base_domain}; the host must match one"
                self._row(("✓", GOOD), "DANE", text, "RFC 7672 §2.2")
                await self._beat(0.5)
        policy = discovery.decision.policy
        if policy is not None and policy.policy is not None:
            days = policy.policy.max_age // 86400
            hosts = ", ".join(policy.policy.mx)
            text = f"mode {policy.policy.mode}, mx {hosts}, to be kept {days} days"
            self._row(("✓", GOOD), "MTA-STS", text, "RFC 8461 §3.2")
            await self._beat(0.5)

    def _show_result(self, result: "Fate", *, waits_is_right: bool, domain: str) -> None:
        from mxseal.decisions.mailing import Deferred, Delivered

        self._expect(isinstance(result, Deferred) == waits_is_right, f"the letter to {domain}")
        if isinstance(result, Delivered):
            self._row(("✓", GOOD), result.tls or "in clear", result.proof.text, result.proof.section)
            self._row(("■", GOOD), "delivered", f"to {result.host}, sealed")
        else:
            reason = result.reasons[0]
            self._row(("■", ODD), "strict sender", reason.text, reason.section, lead="the mail waits")

    async def _attacked(self) -> None:
        from mxseal.lab import Attack

        await self._act(4, "Eve strikes")
        for domain, attack, deed in (
            ("good-dane.test", Attack.STRIP_STARTTLS, "strips STARTTLS at"),
            ("good-sts.test", Attack.OTHER_CERTIFICATE, "shows a certificate of her own at"),
            ("good-both.test", Attack.FORGE_DNS, "forges the DNS answers for"),
        ):
            await self._strike(domain, attack, deed)
        await self._policy_host_down("good-sts.test")
        read = [mail for mail in self._lab.mail if mail.attacker_read]
        self._say(
            *(
                "  Eve has read ",
                (f"{len(read)} letters", BAD),
                ", all of the old sender; of the strict one ",
            ),
            ("none", GOOD),
            ".",
        )
        await self._beat(1.2)
        self._sender.another_day()
        sent = [(await self._sender.send(letter))[1] for letter in self._queue]
        self._say(
            f"  She gives up. The queue is tried again: {self._count_sealed(sent)} of {len(sent)} delivered, sealed."
        )
        await self._beat(2.0)

    def _count_sealed(self, results: "Sequence[Fate]") -> int:
        from mxseal.decisions.delivery import Level
        from mxseal.decisions.mailing import Delivered

        sealed = [
            each for each in results if isinstance(each, Delivered) and each.level in (Level.DANE, Level.PKIX)
        ]
        self._expect(len(sealed) == len(results), "the queue should have become empty")
        return len(sealed)

    async def _strike(self, domain: str, attack: "Attack", deed: str) -> None:
        self._say(("  Eve ", f"bold {BAD}"), f"{deed} ", (domain, STRONG))
        self._lab.attack(domain, attack)
        await self._beat(0.6)
        old, read = await self._send_as_of_old(domain)
        self._expect(read, f"a sender of old and {domain}")
        self._row(("✗", BAD), "old sender", _what_happened(old, read=read))
        await self._beat(0.6)
        self._sender.another_day()
        letter = self._letter(domain)
        _, result = await self._sender.send(letter)
        self._lab.calm(domain)
        self._show_result(result, waits_is_right=True, domain=domain)
        self._queue.append(letter)
        self._out.print()
        await self._beat(1.4)

    async def _policy_host_down(self, domain: str) -> None:
        from mxseal.lab import Attack

        self._say(("  Eve ", f"bold {BAD}"), "takes the policy host down of ", (domain, STRONG))
        self._lab.attack(domain, Attack.POLICY_HOST_DOWN)
        self._sender.another_day()
        _, result = await self._sender.send(self._letter(domain))
        self._lab.calm(domain)
        text = "a fetched policy is remembered until its max_age is over"
        self._row(("✓", GOOD), "MTA-STS", text, "RFC 8461 §5.1")
        self._count_sealed([result])
        self._show_result(result, waits_is_right=False, domain=domain)
        self._out.print()
        await self._beat(1.4)

    async def _what_next(self) -> None:
        await self._act(5, "Your turn")
        program = program_name()
        for command, what in (
            ("check YOUR-DOMAIN", "what would a strict sender see at yours?"),
            ("send explain DOMAIN", "how must mail travel, and why?"),
            ("lab up", "keep it running, and break it yourself"),
        ):
            self._say(f"  {f'{program} {command}':<{len(program) + 22}}", (what, DIM))
        self._out.print()


def _seals(judgement: "Judgement") -> str:
    """What seals a domain, in a few words."""
    from mxseal.decisions.checkup.judgement import Seal

    seals = []
    if all(host.dane in (Seal.GOOD, Seal.WARNING) for host in judgement.hosts):
        seals.append("DANE")
    if judgement.overview.mode == "enforce":
        seals.append("MTA-STS")
    return " and ".join(seals)


def _what_happened(result: "Fate", *, read: bool) -> "Any":
    from rich.text import Text

    from mxseal.decisions.mailing import Delivered

    if not isinstance(result, Delivered):
        return "keeps the mail"
    way = f"over {result.tls}" if result.tls else "in clear"
    text = Text(f"sends it {way} to {result.host}; ")
    text.append("Eve reads it" if read else "nobody reads it", BAD if read else GOOD)
    return text
