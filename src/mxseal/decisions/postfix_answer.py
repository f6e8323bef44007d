"""A decision in Postfix' words."""

from mxseal.decisions.delivery import Kind, OneAnswer
from mxseal.standards.postfix_tls import NotFound, Ok, Reply, SecurityLevel, Temporary, TlsPolicy, secure
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
            if isinstance(policy, Rejection):
                return Temporary(f"MTA-STS policy cannot be expressed: {policy.message}")
            return Ok(policy)
        case Kind.NOT_FOUND:
            return NotFound()
        case Kind.TEMP:
            return Temporary(answer.detail)
