"""CSI drivers on a node: how they make themselves known, and how their volumes come to pods and go again.

What is decided is in `model`, `requests` and `plan` (pure); `records` keeps on disk what was asked of drivers. gRPC is
loaded when the first driver appears.
"""
