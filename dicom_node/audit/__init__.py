"""The audit trail (PS3.15 A.5): who sent, got, saw and changed what.

Of patients it has Study Instance UIDs and, as A.5.3 wants it of transfers, Patient IDs; no names.
"""
