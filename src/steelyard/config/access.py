"""Who may ask for what: API keys, tenants and their limits, TLS, the safety of the admin port."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal

from steelyard.config.checks import require, require_above, require_not_below
from steelyard.policies.admission.registry import ORDERS

Priority = Literal["interactive", "standard", "batch"]
PRIORITIES: dict[Priority, int] = {"interactive": 0, "standard": 1, "batch": 2}
MAX_TENANTS = 2000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """API keys. Make them with `steelyard keys add TENANT`; with no file, no key is asked for."""

    file: str = ""  # hashes of the keys, written by `steelyard keys`; looked at again every second
    secret_file: str = ""  # what the hashes are keyed with, readable by its owner only; empty: FILE.secret

    @property
    def secret_path(self) -> str:
        """Where the secret is."""
        return self.secret_file or f"{self.file}.secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimitOptions:
    """A tenant's limits on one model, beside those on all it does; 0 is none."""

    model: str  # the model's name, as requests name it
    requests_per_min: float = 0  # a whole minute's may come at once
    tokens_per_min: float = 0  # prompt and answer; reserved with max_tokens, settled when it ends
    max_concurrent: int = 0  # requests at once

    def __post_init__(self) -> None:
        names = ("requests_per_min", "tokens_per_min", "max_concurrent")
        require_not_below(self, "tenants.model_limits", *names)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantOptions:
    """One tenant: whoever holds one of its keys. Limits hold over all workers; 0 is none."""

    name: str  # letters, digits, '.', '_', '-'; metrics and logs name it
    requests_per_min: float = 0  # a whole minute's may come at once
    tokens_per_min: float = 0  # prompt and answer; reserved with max_tokens, settled when it ends
    max_concurrent: int = 0  # requests at once
    priority: Priority = "standard"  # its class when requests must wait; interactive goes first
    share: float = 1.0  # its part beside others of its class, in tokens served
    models: tuple[str, ...] = ()  # the models it may use; empty means all
    cache_group: str = ""  # tenants of one group share prompt-cache placement; empty: it shares with nobody
    model_limits: tuple[ModelLimitOptions, ...] = ()  # see [[tenants.model_limits]]

    def __post_init__(self) -> None:
        require(
            _NAME.fullmatch(self.name) is not None,
            f"tenants.name is {self.name[:80]!r}: use letters, digits, '.', '_' and '-', at most 64",
        )
        names = ("requests_per_min", "tokens_per_min", "max_concurrent")
        require_not_below(self, f"tenants.{self.name}", *names)
        require_above(self, f"tenants.{self.name}", "share")
        models = [limit.model for limit in self.model_limits]
        require(
            len(set(models)) == len(models),
            f"tenant {self.name!r} has two model_limits for one model: join them",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionOptions:
    """What happens when the replicas of a pool are full: requests wait, fairly and not in vain."""

    max_in_flight: int = 0  # requests a replica takes at once; 0: as many as come
    adaptive: bool = False  # learn each replica's limit from its time per token; max_in_flight bounds it
    min_in_flight: int = 4  # an adaptive limit goes no lower
    max_waiting: int = 1000  # a worker; what comes then is refused with 429
    max_wait_s: float = 30.0  # whoever could not be served in this time is refused at once
    order: str = "vtc"  # vtc: fair by tokens served; dlpm: also for cached prompts; first-come

    def __post_init__(self) -> None:
        require_not_below(self, "pools.admission", "max_in_flight")
        require_above(self, "pools.admission", "min_in_flight", "max_waiting", "max_wait_s")
        require(
            self.order in ORDERS,
            f"pools.admission.order is {self.order!r}: it must be one of {', '.join(ORDERS)}",
        )
        require(
            not self.max_in_flight or self.max_in_flight >= self.min_in_flight or not self.adaptive,
            f"pools.admission.max_in_flight is {self.max_in_flight}, below min_in_flight: raise it",
        )

    @property
    def limits_replicas(self) -> bool:
        """Whether a replica can be full."""
        return self.max_in_flight > 0 or self.adaptive


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """TLS on a listening port; both files or neither. Changed files are taken up within seconds."""

    certificate_file: str = ""  # PEM, the server's own first, then its intermediates
    key_file: str = ""  # PEM, not encrypted; readable by its owner only
    client_ca_file: str = ""  # PEM; when given, clients must show a certificate that it signed (mTLS)
    min_version: Literal["1.2", "1.3"] = "1.2"  # of TLS; older ones are never spoken

    def __post_init__(self) -> None:
        require(
            bool(self.certificate_file) == bool(self.key_file),
            "tls has only one of certificate_file and key_file: give both, or neither",
        )
        require(
            not self.client_ca_file or bool(self.certificate_file),
            "tls.client_ca_file needs certificate_file and key_file: clients show theirs over TLS only",
        )

    @property
    def enabled(self) -> bool:
        """Whether the port speaks TLS."""
        return bool(self.certificate_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOptions:
    """The safety of the admin port. Off loopback it needs a key or client certificates."""

    key_file: str = ""  # a file with one key, which every request must then show as a bearer token
    names: tuple[str, ...] = ()  # names in Host that are answered beside its address and localhost
    audit_log: str = ""  # a file with one JSON line an action, each holding the hash of the one before
    tls: TlsOptions = field(default_factory=TlsOptions)  # its keys are those of [tls]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAccessOptions:
    """How a pool's engines are spoken to over https, and with which key."""

    ca_file: str = ""  # PEM; empty: the system's authorities
    verify: bool = True  # false accepts any certificate: for a laboratory only
    server_name: str = ""  # the name in the certificate, when it is not the url's host
    certificate_file: str = ""  # PEM, to show to engines that ask for one (mTLS)
    certificate_key_file: str = ""  # PEM, not encrypted
    api_key_file: str = ""  # a file with the engines' own key, sent as a bearer token
    api_key_env: str = ""  # or the name of an environment variable that holds it

    def __post_init__(self) -> None:
        require(
            not (self.api_key_file and self.api_key_env),
            "pools.engine has both api_key_file and api_key_env: give one",
        )
        require(
            bool(self.certificate_file) == bool(self.certificate_key_file),
            "pools.engine has only one of certificate_file and certificate_key_file: give both, or neither",
        )


def check_tenants(tenants: tuple[TenantOptions, ...], keys: KeyOptions) -> None:
    """What only shows when both are known. Raises ConfigError."""
    names = [tenant.name for tenant in tenants]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    require(not twice, f"tenant {twice[0] if twice else ''!r} is named twice: join the two")
    require(len(names) <= MAX_TENANTS, f"there are {len(names)} tenants: {MAX_TENANTS} is the most")
    require(
        not names or bool(keys.file),
        "there are [[tenants]] and no [keys] file: name one, and fill it with `steelyard keys add TENANT`",
    )
    require(
        bool(names) or not keys.file,
        "there is a [keys] file and no [[tenants]]: add one, since every key belongs to a tenant",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
