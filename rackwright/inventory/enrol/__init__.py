"""Enrolment: what an operator knows of new machines, from YAML or CSV, all of it or nothing.

``parse`` needs no database and says everything that is wrong with the file; ``apply`` runs inside
one write. An operator gives names, places, BMCs, MACs and labels, never disk facts: those come from
a ramdisk. Keys that a file leaves out keep what is recorded.
"""

from rackwright.inventory.enrol.apply import EnrolReport, MachineReport, apply
from rackwright.inventory.enrol.parse import Enrolment, parse

__all__ = ["EnrolReport", "Enrolment", "MachineReport", "apply", "parse"]
