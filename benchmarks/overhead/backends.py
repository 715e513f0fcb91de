"""What stands behind the proxies: an nginx that answers at once, or a server that streams events."""

import subprocess
from pathlib import Path

from benchmarks.overhead.processes import LOAD_CORE, start

COUNT = 4
ANSWER = (
    '{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"ok"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":250,"completion_tokens":1,"total_tokens":251}}'
)
MODELS = '{"object":"list","data":[{"id":"m","object":"model","created":1,"owned_by":"none"}]}'
# What sglang-router asks a worker before it sends it requests.
INFO = '{"model_path":"m","tokenizer_path":"","served_model_name":"m","is_generation":true,"dp_size":1}'


def nginx_file(folder: Path, name: str, body: str) -> Path:
    """Write an nginx configuration of one worker, without logs."""
    path = folder / f"{name}.conf"
    path.write_text(
        f"daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log /dev/null crit;\n"
        "worker_rlimit_nofile 20000; events { worker_connections 16384; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; client_body_buffer_size 256k;\n{body}\n}}\n"
    )
    return path


def start_static(folder: Path, ports: list[int]) -> subprocess.Popen[bytes]:
    """An nginx on several ports that answers every request at once."""
    listens = " ".join(f"listen 127.0.0.1:{port};" for port in ports)
    body = (
        f"server {{ {listens} default_type application/json; location = /health {{ return 200 'ok'; }}\n"
        f"location = /v1/models {{ return 200 '{MODELS}'; }} location / {{ return 200 '{ANSWER}'; }}\n"
        f"location ~ ^/(get_model_info|model_info|get_server_info|server_info)$ {{ return 200 '{INFO}'; }} }}"
    )
    return start(LOAD_CORE, "nginx", "-c", str(nginx_file(folder, "backend", body)), cwd=folder)


def start_events(command: tuple[str, ...], folder: Path, ports: list[int]) -> subprocess.Popen[bytes]:
    """The event server on several ports. It finds its module from this folder's project."""
    root = str(Path(__file__).parents[2])
    words = (*command, *map(str, ports))
    return start(LOAD_CORE, *words, cwd=folder, environment={"PYTHONPATH": root})
