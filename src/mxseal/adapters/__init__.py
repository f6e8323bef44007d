"""How we touch the world; each adapter satisfies a port and takes plain arguments."""
