"""A decision in an MTA's words."""

from mxseal.decisions.delivery import Decision, Kind, OneAnswer
from mxseal.standards.mta_sts import Policy
from mxseal.standards.postfix_tls import (
    Dialect,
    NotFound,
    Ok,
    Reply,
    SecurityLevel,
    Temporary,
    TlsPolicy,
    secure,
    with_sts,
)
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import Rejection


def postfix_reply(answer: OneAnswer) -> Reply:
    """What a policy table says to Postfix.

    What cannot be said in Postfix' grammar becomes TEMP, never NOTFOUND: mail
    waits rather than going out on weaker terms.
    """
    match answer.kind:
        case Kind.DANE_ONLY:
            return Ok(TlsPolicy(SecurityLevel.DANE_ONLY))
        case Kind.DANE:
            return Ok(TlsPolicy(SecurityLevel.DANE))
        case Kind.SECURE:
            policy = secure(answer.patterns)
            return _unspeakable(policy) if isinstance(policy, Rejection) else Ok(policy)
        case Kind.NOT_FOUND:
            return NotFound()
        case Kind.TEMP:
            return Temporary(answer.detail)


def reply_in(dialect: Dialect, decision: Decision) -> Reply:
    """The same in the words of the MTA that asks."""
    reply = postfix_reply(decision.answer)
    enforced = None if decision.policy is None else decision.policy.enforced
    match dialect:
        case Dialect.PLAIN:
            return reply
        case Dialect.TLSRPT:
            return _for_reports(reply, decision.domain, enforced)
        case Dialect.SENDMAIL:
            return _for_sendmail(reply, enforced)


def _for_reports(reply: Reply, domain: HostName | None, enforced: Policy | None) -> Reply:
    """Postfix 3.10: with what its TLS reports need, where MTA-STS is what the answer comes from."""
    if not isinstance(reply, Ok) or not isinstance(reply.policy, TlsPolicy):
        return reply
    if reply.policy.level is not SecurityLevel.SECURE or enforced is None or domain is None:
        return reply
    written = with_sts(reply.policy, domain, enforced.mx, enforced.lines)
    return _unspeakable(written) if isinstance(written, Rejection) else Ok(written)


def _for_sendmail(reply: Reply, enforced: Policy | None) -> Reply:
    """What MTA-STS says, whatever DANE says.

    Sendmail looks for the word ``secure`` and for nothing else, and it looks at TLSA
    records by itself where it was told to.  Where it was not, the enforced policy is
    what protects the mail, so it is told that also where Postfix is told ``dane``.
    """
    if isinstance(reply, Temporary):
        return reply
    if enforced is None:
        return NotFound()
    policy = secure(enforced.mx)
    return _unspeakable(policy) if isinstance(policy, Rejection) else Ok(policy)


def _unspeakable(why: Rejection) -> Temporary:
    return Temporary(f"MTA-STS policy cannot be expressed: {why.message}")
