"""This package turns annotations of all sources into a store, shard by shard."""
