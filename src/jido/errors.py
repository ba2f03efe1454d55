"""Every error Jido raises on purpose.

One base class; each message is one sentence that says what was given, where, and what to do.
The command line turns a :class:`JidoError` into that sentence and exit code 2.
"""

from __future__ import annotations


class JidoError(Exception):
    """Base of all errors that Jido raises on purpose."""


class ImageError(JidoError):
    """An image cannot be read, or does not fit the other images or the model."""


class LabelsError(JidoError):
    """Labels cannot be read or do not fit the class scheme or the images."""


class FoldsError(JidoError):
    """A split cannot be made as asked."""


class ModelError(JidoError):
    """A model package cannot be read or does not fit what it is given."""


class OutputError(JidoError):
    """A result cannot be written."""


class ClusterError(JidoError):
    """Workers cannot be reached, or do not fit this machine."""
