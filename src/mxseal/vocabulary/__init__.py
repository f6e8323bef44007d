"""The words that every ring speaks.

Values only: names, what the world said (observations), what the project has to
say about it (findings), and what can go wrong on our side (faults).  Nothing
here touches the world, knows an RFC's rules or decides anything; but each word
means what the RFC means that it is taken from:

* *policy domain*, *policy host*: RFC 8461 §2
* *MX host*, *MX RRset*: RFC 5321 §5
* *security* of a DNS answer (secure, insecure, bogus, indeterminate): RFC 4035 §4.3
* *TLSA base domain*, *reference identifier*: RFC 7671 §7, RFC 7672 §2.2.3
* *result type*: RFC 8460 §4.3

Values are frozen `msgspec.Struct`s, so evidence can be saved, replayed and
compared as it is (docs/adr/0003-values-are-structs.md).
"""
