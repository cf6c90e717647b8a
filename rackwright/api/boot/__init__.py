"""The boot app: what machines on the provisioning network may ask for, and nothing else."""
