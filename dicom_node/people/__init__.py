"""The people and programs that may use the node over HTTP: roles, passwords, keys. SQL about them stands in the catalog."""
