"""The controller manager: control loops that turn desired objects into child objects and statuses.

`plans` decides (pure); the modules here watch, call the plans and carry out what they say.
"""
