"""Errors of the engine and the inventory as problem documents with an HTTP status."""

from rackwright.engine.content.errors import ContentErrors
from rackwright.engine.errors import EngineError, Fault
