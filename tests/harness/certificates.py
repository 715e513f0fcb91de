"""Certificates made for a test, with an authority of their own."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """An authority and what it signed, as files."""

    authority: trustme.CA
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        """A new authority; `authority.pem` is its certificate."""
        made = cls(trustme.CA(), folder)
        made.authority.cert_pem.write_to_path(made.authority_file)
        return made

    @property
    def authority_file(self) -> Path:
        """What to trust."""
        return self.folder / "authority.pem"

    def issue(self, name: str, *identities: str) -> tuple[Path, Path]:
        """(certificate file, key file) for host names or addresses; written over when they exist."""
        issued = self.authority.issue_cert(*identities)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return certificate, key
