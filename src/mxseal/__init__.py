"""MXSeal: transport security for e-mail, both ends of it.

This is the front door; it re-exports and does nothing else.  `import mxseal`
stays cheap: neither asyncio nor ssl is loaded.
"""

from mxseal._version import __version__

__all__ = ["__version__"]
