"""A kill campaign: a real node, a sender that sends again what was not answered, a destination that counts, and SIGKILL.

``python -m tests.kills --help``; docs/reliability.md says what was found. After every kill the node must come to rest, and
then: what was answered 0x0000 is on disk (or was removed after its series ended), its series ended delivered or with a
reason, the destination got no instance twice, and nothing half is left.
"""
