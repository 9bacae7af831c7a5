"""Capture what processes write, keep it on disk, and bring it to where it is wanted.

Holds: the disk is the only buffer. Nothing here stands between a child and its log that parses, waits for a sink, or
       keeps more than one block.
Plan:  ``child`` starts a command and passes signals on; ``capture`` leads its output into ``segments``; ``show`` reads
       them for the terminal, ``shipper`` (a process of its own) for the sinks, each with a cursor of its own.
"""
