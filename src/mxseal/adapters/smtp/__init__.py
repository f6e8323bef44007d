"""SMTP sessions with MX hosts: up to the TLS handshake, or on to the end of the mail.

`SmtpProber` satisfies `journeys.ports.MxHosts`: what `check` sees of a host.  It
connects to one address, drives `standards.starttls.Dialogue`, shakes hands
without verification so that the whole chain comes to light, says EHLO again,
and QUIT.  It never sends MAIL.

`SmtpCourier` satisfies `journeys.ports.Courier`: it goes the same way, asks for a
verdict as soon as TLS stands, and hands the mail over if that is good
(`standards.smtp.Transaction`).
"""

from mxseal.adapters.smtp.courier import Patience, SmtpCourier
from mxseal.adapters.smtp.prober import SmtpProber

__all__ = ["Patience", "SmtpCourier", "SmtpProber"]
