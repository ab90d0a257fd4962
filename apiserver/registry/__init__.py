"""Registries: the verbs over one resource, on its cacher, with per-kind strategies."""
