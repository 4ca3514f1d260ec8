"""Why a TLS handshake came to nothing, told from what OpenSSL says, for doors and for destinations."""

import ssl
from dataclasses import dataclass

from s2ldm_core.problem import Problem

#: Content type of a record that begins a handshake (RFC 8446 5.1).
HANDSHAKE_RECORD = 0x16

# Results of OpenSSL's verification (X509_STORE_CTX_get_error(3)).
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAMES = frozenset({62, 64})


@dataclass(frozen=True, kw_only=True)
class BrokenHandshake:
    """A connection that ended before TLS stood, or before anything was asked for over it.

    ``first_byte``: what the peer's own words began with, where they were looked at; ``error``: what OpenSSL said, None if the
    peer fell silent or hung up.
    """

    error: ssl.SSLError | None = None
    first_byte: int | None = None


def tls_problem(broken: BrokenHandshake, *, who: str) -> Problem:
    """What was wrong, and with which remedy; ``who`` names the other side."""
    error = broken.error
    said = "" if error is None else str(error.reason or "")
    if broken.first_byte not in (None, HANDSHAKE_RECORD):
        return Problem(
            "tls_not_spoken",
            f"{who} does not speak TLS where TLS alone is spoken.",
            "Turn TLS on there, or send to the port that takes DICOM in the clear.",
        )
    if error is None:
        return Problem(
            "tls_unfinished",
            f"{who} ended the connection, or fell silent, in the middle of the TLS handshake.",
            "Look at what it says of it, and whether it speaks TLS there; a program that only looks for open ports does so, too.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_problem(error, who=who)
    if "PEER_DID_NOT_RETURN_A_CERTIFICATE" in said:
        return Problem(
            "tls_certificate_missing",
            f"{who} has shown no certificate.",
            "Give it a certificate that an authority of the file tls.ca has signed.",
        )
    if "UNSUPPORTED_PROTOCOL" in said or "PROTOCOL_VERSION" in said or "VERSION_TOO_LOW" in said:
        return Problem(
            "tls_version_refused",
            f"{who} speaks no version of TLS that is safe: TLS 1.2 is the oldest that is spoken here (BCP 195).",
            "Update it, or turn TLS 1.2 or 1.3 on there.",
        )
    if "NO_SHARED_CIPHER" in said:
        return Problem(
            "tls_cipher_refused",
            f"{who} offers no cipher suite that is safe (BCP 195).",
            "Turn on ECDHE with AES-GCM or ChaCha20 there.",
        )
    if ("ALERT" in said and "CERT" in said) or "UNKNOWN_CA" in said:
        return Problem(
            "tls_own_certificate_refused",
            f"{who} does not take this node's certificate ({said.lower().replace('_', ' ')}).",
            "Give it the authority that signed the node's certificate; where it asks for one, look whether that has expired.",
        )
    return Problem(
        "tls_failed",
        f"{who} and this node did not come together over TLS ({said.lower().replace('_', ' ') or 'the connection broke'}).",
        "Compare the versions, cipher suites and certificates of both sides.",
    )


def _certificate_problem(error: ssl.SSLCertVerificationError, *, who: str) -> Problem:
    if error.verify_code == _EXPIRED:
        return Problem(
            "tls_certificate_expired",
            f"The certificate of {who}, or of what signed it, has expired.",
            "Renew it; if it is still good, set the clock of this machine.",
        )
    if error.verify_code == _NOT_YET_VALID:
        return Problem(
            "tls_certificate_not_yet_valid",
            f"The certificate of {who}, or of what signed it, is not valid yet.",
            "Compare the clocks of both machines, and of the one that made the certificate.",
        )
    if error.verify_code in _OTHER_NAMES:
        return Problem(
            "tls_certificate_of_another",
            f"The certificate of {who} does not bear the name by which it was called.",
            "Give its tls.server_name, a certificate for its host, or the right host: another machine may be answering.",
        )
    return Problem(
        "tls_certificate_untrusted",
        f"The certificate of {who} is signed by nobody who is trusted here ({error.verify_message}).",
        "Add the authority that signed it to the file tls.ca, if it is who it should be.",
    )
