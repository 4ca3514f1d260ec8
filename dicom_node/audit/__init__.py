"""The audit trail (PS3.15 A.5): who sent, got, saw and changed what.

Of patients it has Study Instance UIDs and, where others ask for series or retrieve them, Patient IDs; no names.
"""
