"""CustomResourceDefinitions: kinds that are defined, changed and taken away while the server runs.

`definition` reads a definition into what is served, `naming` decides on its names, `registry` and `view` serve its
objects, `controller` follows the definitions and keeps all of it up to date.
"""
