"""The audit trail (PS3.15 A.5): who sent, got, saw and changed what. No patient's data, but Study Instance UIDs."""
