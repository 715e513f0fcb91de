"""Tenants, keys, TLS and the admin port: what could not work or would be unsafe is refused."""

from pathlib import Path

import pytest

from steelyard.config.access import (
    AdminOptions,
    AdmissionOptions,
    EngineAccessOptions,
    KeyOptions,
    ModelLimitOptions,
    TenantOptions,
    TlsOptions,
)
from steelyard.config.load import from_engines, load_file
from steelyard.model.errors import ConfigError

ENGINE = ["http://127.0.0.1:9"]


def test_tenants_come_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "steelyard.toml"
    path.write_text(
        """
        [keys]
        file = "keys.json"
        [[tenants]]
        name = "search"
        priority = "interactive"
        tokens_per_min = 100000
        models = ["small"]
        [[tenants.model_limits]]
        model = "small"
        requests_per_min = 60
        [[pools]]
        [[pools.replicas]]
        url = "http://127.0.0.1:9"
        [pools.admission]
        max_in_flight = 32
        order = "dlpm"
        """
    )
    configuration = load_file(path)
    (tenant,) = configuration.tenants
    assert tenant.model_limits[0].requests_per_min == 60
    assert configuration.keys.secret_path == "keys.json.secret"  # noqa: S105 a path
    assert configuration.pools[0].admission.limits_replicas


def test_limits_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"tenants\.a\.tokens_per_min is -1"):
        TenantOptions(name="a", tokens_per_min=-1)
    with pytest.raises(ConfigError, match=r"tenants\.name is 'a b'"):
        TenantOptions(name="a b")
    with pytest.raises(ConfigError, match="two model_limits"):
        TenantOptions(name="a", model_limits=(ModelLimitOptions(model="m"), ModelLimitOptions(model="m")))
    with pytest.raises(ConfigError, match="must be one of vtc, dlpm, first-come"):
        AdmissionOptions(order="lifo")
    with pytest.raises(ConfigError, match="below min_in_flight"):
        AdmissionOptions(adaptive=True, max_in_flight=2)


def test_tenants_and_keys_need_each_other() -> None:
    tenant = TenantOptions(name="a")
    with pytest.raises(ConfigError, match=r"no \[keys\] file"):
        from_engines(ENGINE, tenants=(tenant,))
    with pytest.raises(ConfigError, match=r"no \[\[tenants\]\]"):
        from_engines(ENGINE, keys=KeyOptions(file="k"))
    with pytest.raises(ConfigError, match="'a' is named twice"):
        from_engines(ENGINE, tenants=(tenant, tenant), keys=KeyOptions(file="k"))


def test_half_a_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="give both"):
        TlsOptions(certificate_file="c.pem")
    with pytest.raises(ConfigError, match="client_ca_file needs"):
        TlsOptions(client_ca_file="ca.pem")
    with pytest.raises(ConfigError, match="give both"):
        EngineAccessOptions(certificate_key_file="k.pem")
    with pytest.raises(ConfigError, match="give one"):
        EngineAccessOptions(api_key_file="k", api_key_env="K")


@pytest.mark.parametrize("admin", ["0.0.0.0:9090", "10.1.2.3:9090", "[::]:9090"])
def test_an_admin_port_that_others_reach_needs_a_key_or_client_certificates(admin: str) -> None:
    with pytest.raises(ConfigError, match="which others can reach"):
        from_engines(ENGINE, admin=admin)
    mutual = TlsOptions(certificate_file="c", key_file="k", client_ca_file="ca")
    from_engines(ENGINE, admin=admin, admin_access=AdminOptions(key_file="key"))
    from_engines(ENGINE, admin=admin, admin_access=AdminOptions(tls=mutual))


@pytest.mark.parametrize("admin", ["127.0.0.1:9090", "127.8.0.1:9090", "[::1]:9090", "localhost:9090"])
def test_loopback_needs_none(admin: str) -> None:
    from_engines(ENGINE, admin=admin)
