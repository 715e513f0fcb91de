"""What a proxy costs, beside its peers: `python -m benchmarks.overhead --help`.

Method. The proxy's processes are pinned to one core; the load and the engines to another. Proxies take
turns in interleaved rounds; a figure is the median of its rounds, a ratio is one of medians. CPU is user
and system time of all processes of the proxy, reaped children included. Memory is the proportional set
size in the middle of the load. A round with a wrong answer or a socket error ends the run. Everything
that steelyard does by default is on: metrics, ledger, prefix hashing, health probes. Logs are off
everywhere. What the machine did besides is shown by its load before the run.

request  wrk, 256 connections, prompts of about 1 kB (256 different ones), an nginx that answers at once:
         CPU a request; latency added at one connection, direct and proxied in turn; memory.
stream   128 connections, 2 streams each of 202 events, one event a stream every 10 ms from a server that
         steps its streams together as an engine's batch does: CPU a stream. A proxy that cannot keep up
         shows a busy core, and is served fewer and larger reads than the others. How events reach the
         client is shown beside the cost: HAProxy's defaults let the kernel hold a chunk back for more
         (MSG_MORE), so ten events come at once and up to 200 ms late. `haproxy-no-delay` is HAProxy with
         the option by which it passes events on as they come, as all others here do; ratios of streams are
         to that.
idle     4,000 streams that had their first event and wait: memory each, errors.
replace  the worker process is killed with SIGKILL: until a new connection is answered. Only proxies whose
         parent starts another worker.
"""
