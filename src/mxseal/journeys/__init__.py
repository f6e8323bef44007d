"""What we do, step by step, through the ports; no sockets here."""
