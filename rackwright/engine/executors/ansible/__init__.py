"""The Ansible executor: roles in Galaxy layout, run by ansible-runner in processes of its own.

Ansible is never imported here: ``child.py`` alone does so, as a program.
"""
