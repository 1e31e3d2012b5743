"""Annotations of all sources become a store, shard by shard."""
