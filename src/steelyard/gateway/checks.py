"""Everything outside a configuration file that it depends on, tried before anybody depends on it."""

from pathlib import Path

from steelyard.config.schema import Configuration
from steelyard.gateway.keys import KeyRing
from steelyard.gateway.tls import FrontTls, engine_context, engine_key
from steelyard.model.errors import ConfigError
from steelyard.runtime.private_file import read_private


def check_files(configuration: Configuration) -> None:
    """Read what will be read and open what will be written. Raises ConfigError."""
    _check_writable(configuration.access_log, "access_log")
    _check_writable(configuration.admin_access.audit_log, "admin_access.audit_log")
    if configuration.keys.file:
        KeyRing(configuration.keys, {tenant.name: tenant for tenant in configuration.tenants})
    for options in (configuration.tls, configuration.admin_access.tls):
        if options.enabled:
            FrontTls(options)
    if configuration.admin_access.key_file:
        read_private(Path(configuration.admin_access.key_file), "admin_access.key_file")
    for pool in configuration.pools:
        engine_key(pool.engine)
        if pool.engine.ca_file or pool.engine.certificate_file:
            engine_context(pool.engine)


def _check_writable(path: str, key: str) -> None:
    """Refuse a log that cannot be written before any worker meets it."""
    if path:
        try:
            with open(path, "ab"):
                pass
        except OSError as error:
            raise ConfigError(f"cannot write {key} {path}: {error.strerror}: name another file") from None
