"""SMTP sessions with MX hosts, up to the TLS handshake: what `check` sees of them.

`SmtpProber` satisfies `journeys.ports.MxHosts`.  It connects to one address,
drives `standards.starttls.Dialogue`, shakes hands without verification so that
the whole chain comes to light, says EHLO again, and QUIT.  It never sends MAIL.
"""

from mxseal.adapters.smtp.prober import SmtpProber

__all__ = ["SmtpProber"]
