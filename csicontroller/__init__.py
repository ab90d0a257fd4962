"""The controller side of one CSI driver: makes, attaches, grows and deletes its volumes as the cluster's objects ask.

It does what the sidecars external-provisioner, external-attacher and external-resizer do, with the same annotations,
finalizers and statuses, so that either may be used. One process serves one driver; see docs/guides/csi-drivers.md.
"""
