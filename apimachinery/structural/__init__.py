"""Structural schemas (KEP-1693): what a CustomResourceDefinition says of its objects, as plain JSON schemas.

`rules` checks the schemas themselves, `shape` prunes and defaults objects by them, `values` validates objects.
All of it is pure.
"""
