"""`python -m examples.high_availability`: engine, worker, gateway and jobs controller are killed."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from examples.high_availability.clients import Clients, Count
from examples.processes import Running, fitted, running
from examples.service import jobs_service, until

from steelyard.jobs.client import NoService

HERE = Path(__file__).parent
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
ONE_NODE = ("--node", "A:cpu_cores=2,memory=1GiB")


def asked(admin: str, path: str, method: str = "GET") -> object:
    """What an admin port answers."""
    request = urllib.request.Request(f"{admin}{path}", method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def port_of(url: str) -> str:
    """The port of an address."""
    return url.rpartition(":")[2]


@contextlib.contextmanager
def one_address(gateways: list[dict[str, str]], folder: Path) -> Iterator[list[str]]:
    """HAProxy before both; without it, two addresses that clients know, as from DNS."""
    if HAPROXY is None:
        print("haproxy is not installed: the clients know two addresses instead of one", flush=True)
        yield [each["gateway"] for each in gateways]
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = {"bind 127.0.0.1:80\n": f"bind 127.0.0.1:{port}\n"}
    for each, written in zip(gateways, ("127.0.0.1:8080 port 9090", "127.0.0.1:8081 port 9091"), strict=True):
        places[written] = f"127.0.0.1:{port_of(each['gateway'])} port {port_of(each['admin'])}"
    command = [HAPROXY, "-db", "-q", "-f", str(fitted(HERE / "haproxy.cfg", places, folder))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: listens(port), "haproxy listens", 15)
            yield [f"http://127.0.0.1:{port}"]
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serving() -> Count:
    """Two engines, two gateways, one address; what became of the chats."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-example-")))
        engine = ("engine", "--port", "0", "--time-scale", "10")
        engines = [stack.enter_context(running(*engine, names=("engine",))) for _ in range(2)]
        places = {
            f"http://127.0.0.1:{8000 + at}": each[1]["engine"] for at, each in enumerate(engines)
        }  # as the file names them
        serve = ("serve", str(fitted(HERE / "gateway.toml", places, folder)))

        def gateway(listen: str = "127.0.0.1:0", admin: str = "127.0.0.1:0") -> Running:
            ports = ("--listen", listen.removeprefix("http://"), "--admin", admin.removeprefix("http://"))
            return stack.enter_context(running(*serve, *ports, names=("gateway", "admin")))

        (a, at_a), (b, at_b) = gateway(), gateway()
        addresses = stack.enter_context(one_address([at_a, at_b], folder))
        with Clients(addresses) as clients:
            clients.stage("all is well")
            engines[0][0].kill()
            clients.stage("an engine is killed")
            a.send_signal(signal.SIGHUP)
            clients.stage("gateway A reloads its configuration")
            asked(at_a["admin"], "/drain", "POST")
            clients.stage("gateway A is drained")
            a.terminate()
            a.wait()
            a, at_a = gateway(at_a["gateway"], at_a["admin"])
            clients.stage("gateway A was ended, and is back")
            worker = asked(at_b["admin"], "/workers")
            assert isinstance(worker, list)
            os.kill(worker[0]["pid"], signal.SIGKILL)
            clients.stage("a worker of gateway B is killed")
            b.kill()
            clients.stage("gateway B is killed", 120)
    return clients.count


def working() -> bool:
    """Whether a job came to its end in its first attempt, though its controller was killed."""
    os.environ.setdefault("STEPS", "60")
    with jobs_service(*ONE_NODE) as service, (service.folder / "standby.log").open("wb") as log:
        command = [sys.executable, "-m", "steelyard", "up", "--state", str(service.folder), "--standby"]
        with subprocess.Popen(
            [*command, *ONE_NODE], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as standby:
            job_id = service.submit(HERE / "job.toml")
            until(lambda: service.view(job_id)["state"] == "running", "the job runs", 30)
            active = int(service.client.ask("status")["process"])
            os.kill(active, signal.SIGKILL)

            def taken_over() -> bool:
                with contextlib.suppress(NoService):
                    return bool(service.client.ask("status")["process"] == standby.pid)
                return False

            took_s = until(taken_over, "the standby answers", 60)
            print(f"the controller is killed: its standby answers {took_s:.1f} s later", flush=True)
            service.wait(job_id)
            epoch = service.view(job_id)["task_views"][0]["epoch"]
            print(f"the job is done, in attempt {epoch}", flush=True)
            with contextlib.suppress(NoService):
                service.client.ask("down", grace_s=0.5)
    return bool(epoch == 1)


def main() -> int:
    """0 when no chat was lost, and the job ran once."""
    count = serving()
    once = working()
    kept = not count.lost and once
    print("nothing was lost" if kept else f"LOST: {count.lost} chats; the job ran once: {once}", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
