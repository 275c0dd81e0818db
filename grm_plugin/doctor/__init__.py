"""Checks a machine and a configuration before a job depends on them (`grm-plugin doctor`).

`examine` runs the checks; each of the other files holds those of one subject, and returns what it `findings`.
"""
