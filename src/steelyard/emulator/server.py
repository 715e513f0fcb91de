"""An OpenAI-compatible engine that only pretends: the batching model behind real sockets, in real time.

One timer an iteration drives all sequences, as a GPU would; `time_scale` 2 runs it twice as fast.
"""

import asyncio

from steelyard.emulator.api import Continues
from steelyard.emulator.connection import EngineConnection, Running
from steelyard.engines.batching import BatchingEngine, Step
from steelyard.engines.profiles import EngineProfile


class EmulatedEngine:
    """One engine: the model, its clock, and the answers under way."""

    def __init__(
        self, profile: EngineProfile, model: str, time_scale: float, continues: Continues = "asked"
    ) -> None:
        self.batching = BatchingEngine(profile)
        self.model = model
        self.continues = continues
        self.running: dict[int, Running] = {}
        self._time_scale = time_scale
        self._next_id = 0
        self._step: Step | None = None
        self._due_s = 0.0

    def next_sequence_id(self) -> int:
        """A number for a new sequence."""
        self._next_id += 1
        return self._next_id

    def submit(self, running: Running) -> None:
        """Queue an answer; iterations start if none was under way. Raises ValueError when it cannot fit."""
        self.batching.submit(running.sequence)
        self.running[running.sequence.sequence_id] = running
        if self._step is None:
            self._due_s = asyncio.get_running_loop().time()
            self._begin_step()

    def cancel(self, running: Running) -> None:
        """The client of an answer left."""
        if self.running.pop(running.sequence.sequence_id, None) is not None:
            self.batching.cancel(running.sequence)

    def _begin_step(self) -> None:
        self._step = self.batching.next_step()
        if self._step is not None:
            loop = asyncio.get_running_loop()
            # From when the last step was due, not from now, so that timers' lateness does not add up;
            # but an engine that fell far behind does not race to catch up.
            self._due_s = max(self._due_s + self._step.duration_s / self._time_scale, loop.time() - 0.05)
            loop.call_at(self._due_s, self._end_step)

    def _end_step(self) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        for sequence in self.batching.finish_step(step):
            running = self.running.get(sequence.sequence_id)
            if running is None:
                continue
            if sequence.finished:
                del self.running[sequence.sequence_id]
            running.token_given()
        self._begin_step()

    def metrics(self) -> bytes:
        """Prometheus text under vLLM's names."""
        engine = self.batching
        name_escaped = self.model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        label = f'{{model_name="{name_escaped}"}}'
        values = (
            ("num_requests_running", "gauge", len(engine.running)),
            ("num_requests_waiting", "gauge", len(engine.waiting)),
            ("kv_cache_usage_perc", "gauge", round(engine.cache.used_fraction, 6)),
            ("prompt_tokens_total", "counter", engine.prompt_tokens_total),
            ("generation_tokens_total", "counter", engine.output_tokens_total),
            ("prefix_cache_queries_total", "counter", engine.prompt_tokens_total),
            ("prefix_cache_hits_total", "counter", engine.cached_tokens_total),
            ("num_preemptions_total", "counter", engine.preemptions),
        )
        capacity = engine.cache.capacity_tokens // engine.cache.block_tokens
        blocks = f'block_size="{engine.cache.block_tokens}",num_gpu_blocks="{capacity}"'
        return (
            f"# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{label[:-1]},{blocks}}} 1\n"
        ).encode() + "".join(
            f"# TYPE vllm:{name} {kind}\nvllm:{name}{label} {value}\n" for name, kind, value in values
        ).encode()


async def start_engine(engine: EmulatedEngine, host: str, port: int) -> tuple[asyncio.Server, int]:
    """Listen; return the server and the port taken. Raises OSError."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: EngineConnection(engine), host, port, backlog=1024)
    return server, int(server.sockets[0].getsockname()[1])
