"""Run llama.cpp's server: python engine_process.py MODEL. Runs in the engine's environment.

Says where it listens, and lives until its standard input closes.
"""

import socket
import sys

import xllamacpp


def free_port() -> int:
    """A port that was free a moment ago; llama.cpp does not say which it took when asked for any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(model: str) -> None:
    """Serve."""
    options = xllamacpp.CommonParams()
    options.model.path = model
    options.hostnames = ["127.0.0.1"]
    options.port = free_port()
    options.n_ctx = 8192
    options.n_parallel = 4
    options.cpuparams.n_threads = 1
    options.endpoint_metrics = True
    for name in ("cache_type_k", "cache_type_v"):
        # Whole numbers: a prompt read at once and one read token by token must give the same answer.
        setattr(options, name, xllamacpp.ggml_type.GGML_TYPE_F32)
    options.warmup = False
    server = xllamacpp.Server(options)
    print(f"engine listening on {server.listening_address}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
