"""What each RFC says: values in, values out.

One package a standard; they do not import one another, and none does I/O.
"""
