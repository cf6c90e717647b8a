"""All tables, as Core tables under their own names, in capitals: ``tables.MACHINE.c.name``."""

from rackwright.inventory.tables import bmc as _bmc
from rackwright.inventory.tables import cluster as _cluster
from rackwright.inventory.tables import control as _control
from rackwright.inventory.tables import machine as _machine
from rackwright.inventory.tables import place as _place
from rackwright.inventory.tables import run as _run
from rackwright.inventory.tables import storage as _storage
from rackwright.inventory.tables.base import metadata as metadata
from rackwright.inventory.tables.base import table_of

SITE = table_of(_place.Site)
RACK = table_of(_place.Rack)
SEGMENT = table_of(_place.Segment)
MACHINE = table_of(_machine.Machine)
LABEL = table_of(_machine.Label)
NIC = table_of(_machine.Nic)
LINK = table_of(_machine.Link)
ADDRESS = table_of(_machine.Address)
MACHINE_NETWORK = table_of(_machine.MachineNetwork)
SSH_BINDING = table_of(_machine.SshBinding)
BMC_ENDPOINT = table_of(_bmc.BmcEndpoint)
BMC_SYSTEM = table_of(_bmc.BmcSystem)
CONTROLLER = table_of(_storage.Controller)
DRIVE = table_of(_storage.Drive)
VOLUME = table_of(_storage.Volume)
IMAGE = table_of(_storage.Image)
INSTALLATION = table_of(_storage.Installation)
CLUSTER = table_of(_cluster.Cluster)
CLUSTER_MEMBER = table_of(_cluster.ClusterMember)
PLAN = table_of(_run.Plan)
RUN = table_of(_run.Run)
RUN_STAGE = table_of(_run.RunStage)
RUN_MACHINE = table_of(_run.RunMachine)
RESERVATION = table_of(_run.Reservation)
SNAPSHOT = table_of(_run.Snapshot)
JOURNAL = table_of(_run.Journal)
BOOT_WINDOW = table_of(_run.BootWindow)
BOOT_TOKEN = table_of(_run.BootToken)
RAMDISK_CONTACT = table_of(_run.RamdiskContact)
OWNER = table_of(_control.Owner)
SECRET = table_of(_control.Secret)
AUDIT = table_of(_control.Audit)
