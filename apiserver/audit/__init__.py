"""Audit: who did what, by a policy file (audit.k8s.io/v1), into a log of one JSON event a line.

`policy` decides what is recorded, `record` makes the events of a request, `log` writes them, `auditor` runs it all.
"""
