"""The REST API: one file per resource, its request and response structs beside its routes."""
