"""Continuous batching, as vLLM and its kin do it, without doing the work: one pure class for the HTTP
emulator and the simulator.

An iteration gives each running sequence one token and spends up to `chunk_tokens` on prompts, first
come first served (chunked prefill); it takes step + sequence · running + prefill_token · prompt tokens.
A sequence enters when its prompt fits the KV cache; when a growing one finds no room, the youngest is
set back to the head of the queue and computed again (preemption by recomputation). The caller owns
time: it asks for a step, waits its duration, and takes the tokens. Ties: sequences are served in the
order in which they were submitted. Cost: a step is linear in the batch.
"""

from collections import deque
from dataclasses import dataclass, field

from steelyard.engines.kv_cache import KvCache
from steelyard.engines.profiles import EngineProfile


@dataclass(slots=True, kw_only=True, eq=False)
class Sequence:
    """One request inside an engine.

    output_tokens: how many it will give before it ends.
    prefix_hashes: of the prompt's whole blocks, each once.
    own_tokens, shared_blocks: what it holds of the cache, for itself and of `prefix_hashes`.
    """

    sequence_id: int
    prompt_tokens: int
    output_tokens: int
    prefix_hashes: tuple[int, ...] = ()
    cached_tokens: int = 0
    given_tokens: int = 0
    prefilled_tokens: int = 0
    own_tokens: int = 0
    shared_blocks: int = 0
    active: bool = False

    @property
    def target_tokens(self) -> int:
        """Tokens to be processed before the next output token: the prompt, and what a preemption threw
        away.
        """
        return self.prompt_tokens + self.given_tokens

    @property
    def finished(self) -> bool:
        """Whether it has given all its tokens."""
        return self.given_tokens >= self.output_tokens


@dataclass(slots=True)
class Step:
    """One iteration: how long it takes, and what it will do."""

    duration_s: float
    prefills: list[tuple[Sequence, int]] = field(default_factory=list)
    decodes: list[Sequence] = field(default_factory=list)


class BatchingEngine:
    """An engine's scheduler and cache."""

    def __init__(self, profile: EngineProfile, block_tokens: int = 256) -> None:
        self.profile = profile
        self.cache = KvCache(profile.kv_tokens, block_tokens)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self.prompt_tokens_total = 0
        self.cached_tokens_total = 0
        self.output_tokens_total = 0

    def fits(self, prompt_tokens: int, output_tokens: int) -> bool:
        """Whether a request could ever run here."""
        return prompt_tokens + output_tokens <= self.profile.kv_tokens

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises ValueError when it could never run."""
        if not self.fits(sequence.prompt_tokens, sequence.output_tokens):
            total = sequence.prompt_tokens + sequence.output_tokens
            raise ValueError(f"{total} tokens do not fit a KV cache of {self.profile.kv_tokens}")
        # A hash beyond the prompt's whole blocks would free more than it holds.
        whole_blocks = sequence.prompt_tokens // self.cache.block_tokens
        sequence.prefix_hashes = sequence.prefix_hashes[:whole_blocks]
        self.waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Nobody waits for it any more: its place and its memory are free at once."""
        if sequence.active:
            self.running.remove(sequence)
            self._free(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def next_step(self) -> Step | None:
        """Plan the next iteration; None when there is nothing to do."""
        self._admit()
        if not self.running:
            return None
        profile = self.profile
        step = Step(0.0)
        budget = profile.chunk_tokens
        for sequence in self.running:
            missing = sequence.target_tokens - sequence.prefilled_tokens
            if missing <= 0:
                step.decodes.append(sequence)
            elif budget > 0:
                share = min(missing, budget)
                budget -= share
                step.prefills.append((sequence, share))
        prompt_tokens = profile.chunk_tokens - budget
        step.duration_s = (
            profile.step_s + profile.sequence_s * len(self.running) + profile.prefill_token_s * prompt_tokens
        )
        return step

    def finish_step(self, step: Step) -> list[Sequence]:
        """Do what the step planned; return the sequences that got a token, in order.

        A sequence cancelled meanwhile gets none. A finished one has left the batch.
        """
        given: list[Sequence] = []
        for sequence, share in step.prefills:
            if not sequence.active:
                continue
            sequence.prefilled_tokens += share
            if sequence.prefilled_tokens >= sequence.target_tokens:
                self._share_prompt(sequence)
                given.append(sequence)
        given += step.decodes
        # One that left, or that another's growth set back in this very step, gets none.
        given = [sequence for sequence in given if sequence.active and self._give_token(sequence)]
        self.running = [sequence for sequence in self.running if sequence.active]
        return given

    def steps_alike(self) -> int:
        """How many steps, 1 or more, may follow in which every running sequence gets a token and nothing
        else happens, up to and including the one in which the first of them ends. For a batch that is all
        past its prompts.
        """
        running = self.running
        nearest_end = min(sequence.output_tokens - sequence.given_tokens for sequence in running)
        return max(1, min(nearest_end, self.cache.room_tokens // len(running)))

    def decode_all(self, steps: int) -> None:
        """Do some of the steps that `steps_alike` promised, but not its last."""
        running = self.running
        for sequence in running:
            sequence.own_tokens += steps
            sequence.given_tokens += steps
            sequence.prefilled_tokens += steps
        self.cache.grow(steps * len(running))
        self.output_tokens_total += steps * len(running)

    def _give_token(self, sequence: Sequence) -> bool:
        """Give a token if there is room; else the sequence itself was the youngest and is set back."""
        while not self.cache.try_grow():
            youngest = self.running.pop()
            if youngest.active:
                self._set_back(youngest)
            if youngest is sequence:
                return False
        sequence.own_tokens += 1
        sequence.given_tokens += 1
        sequence.prefilled_tokens += 1
        self.output_tokens_total += 1
        if sequence.finished:
            self._free(sequence)
        return True

    def _admit(self) -> None:
        """Take waiting sequences in, in order, while there is room for their prompts."""
        while self.waiting and len(self.running) < self.profile.max_batch:
            sequence = self.waiting[0]
            target_tokens = sequence.target_tokens
            present = self.cache.try_enter(sequence.prefix_hashes, target_tokens)
            if present is None:
                return
            self.waiting.popleft()
            sequence.active = True
            sequence.shared_blocks = present
            sequence.own_tokens = target_tokens - present * self.cache.block_tokens
            # The last token is always computed: its logits give the first output token.
            cached = min(present * self.cache.block_tokens, target_tokens - 1)
            sequence.prefilled_tokens = cached
            if not sequence.given_tokens:
                sequence.cached_tokens = cached
                self.prompt_tokens_total += sequence.prompt_tokens
                self.cached_tokens_total += cached
            self.running.append(sequence)

    def _share_prompt(self, sequence: Sequence) -> None:
        fresh = sequence.prefix_hashes[sequence.shared_blocks :]
        self.cache.share(fresh)
        sequence.shared_blocks += len(fresh)
        sequence.own_tokens -= len(fresh) * self.cache.block_tokens

    def _set_back(self, sequence: Sequence) -> None:
        self.preemptions += 1
        self._free(sequence)
        sequence.prefilled_tokens = 0
        self.waiting.appendleft(sequence)

    def _free(self, sequence: Sequence) -> None:
        self.cache.leave(sequence.prefix_hashes[: sequence.shared_blocks], sequence.own_tokens)
        sequence.own_tokens = sequence.shared_blocks = 0
        sequence.active = False
