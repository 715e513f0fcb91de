"""TLS contexts: versions, client certificates, changed files, verification of engines."""

import ssl
from pathlib import Path

import pytest
from tests.harness.certificates import Certificates

from steelyard.config.access import EngineAccessOptions, TlsOptions
from steelyard.gateway.tls import FrontTls, engine_context, engine_key
from steelyard.model.errors import ConfigError


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates.make(tmp_path)


def front(certificates: Certificates, **more: str) -> TlsOptions:
    certificate, key = certificates.issue("front", "gateway.test")
    return TlsOptions(certificate_file=str(certificate), key_file=str(key), **more)  # type: ignore[arg-type]  # fields by name


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "gateway.test") -> ssl.SSLObject:
    """Both ends in memory; the client's end. Raises ssl.SSLError when either refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(8):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    near.write(b"x")
    assert far.read(1) == b"x"
    return near


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return engine_context(EngineAccessOptions(ca_file=str(certificates.authority_file)))


def test_serves_1_2_and_above_and_http_1_1_only(certificates: Certificates) -> None:
    server = FrontTls(front(certificates)).context
    client = trusting(certificates)
    assert shake_hands(server, client).selected_alpn_protocol() == "http/1.1"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(server, client).version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        shake_hands(FrontTls(front(certificates, min_version="1.3")).context, client)


def test_a_changed_certificate_is_taken_up_by_new_handshakes(certificates: Certificates) -> None:
    tls = FrontTls(front(certificates))
    before = shake_hands(tls.context, trusting(certificates)).getpeercert()
    assert not tls.refresh()
    front(certificates)  # writes over the same files
    assert tls.refresh()
    after = shake_hands(tls.context, trusting(certificates)).getpeercert()
    assert before is not None
    assert after is not None
    assert before["serialNumber"] != after["serialNumber"]


def test_a_broken_change_is_refused_and_the_old_one_serves_on(certificates: Certificates) -> None:
    options = front(certificates)
    tls = FrontTls(options)
    certificates.issue("other", "gateway.test")
    Path(options.key_file).write_bytes((certificates.folder / "other.key").read_bytes())
    with pytest.raises(ConfigError, match="KEY_VALUES_MISMATCH"):
        tls.refresh()
    assert not tls.refresh()
    shake_hands(tls.context, trusting(certificates))


def test_mutual_tls_asks_for_a_certificate_of_the_right_authority(
    certificates: Certificates, tmp_path: Path
) -> None:
    server = FrontTls(front(certificates, client_ca_file=str(certificates.authority_file))).context
    client = trusting(certificates)
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client)
    client.load_cert_chain(*certificates.issue("client", "client.test"))
    shake_hands(server, client)
    (tmp_path / "stranger").mkdir()
    stranger = trusting(certificates)
    stranger.load_cert_chain(*Certificates.make(tmp_path / "stranger").issue("client", "client.test"))
    with pytest.raises(ssl.SSLError):
        shake_hands(server, stranger)


def test_engines_are_verified_by_name_and_authority(certificates: Certificates, tmp_path: Path) -> None:
    server = FrontTls(front(certificates)).context
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, trusting(certificates), "another.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, engine_context(EngineAccessOptions()))
    shake_hands(server, engine_context(EngineAccessOptions(verify=False)), "another.test")


def test_files_that_cannot_be_used_are_named(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        FrontTls(TlsOptions(certificate_file="nowhere.pem", key_file="nowhere.key"))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigError, match="cannot use"):
        engine_context(EngineAccessOptions(ca_file=str(tmp_path / "empty.pem")))


def test_the_engines_key_comes_from_a_private_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text("engine-key\n")
    path.chmod(0o600)
    assert engine_key(EngineAccessOptions(api_key_file=str(path))) == b"engine-key"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        engine_key(EngineAccessOptions(api_key_file=str(path)))
    monkeypatch.setenv("ENGINE_KEY", "from-environment")
    assert engine_key(EngineAccessOptions(api_key_env="ENGINE_KEY")) == b"from-environment"
    with pytest.raises(ConfigError, match="which is not set"):
        engine_key(EngineAccessOptions(api_key_env="NO_SUCH_KEY_HERE"))
    monkeypatch.setenv("ENGINE_KEY", "a\r\nb: c")
    with pytest.raises(ConfigError, match="blank, a control"):
        engine_key(EngineAccessOptions(api_key_env="ENGINE_KEY"))
    assert engine_key(EngineAccessOptions()) == b""
