"""Tenants as a worker uses them: who they are, what they may use, what they have left.

A tenant is admitted against its own limits and those on the model it asks for: both or neither. What was
reserved is settled once, when the answer has ended. Cost: see benchmarks/results/admission.md.
"""

from collections.abc import Iterator, Mapping, Sequence

from steelyard.config.access import PRIORITIES, ModelLimitOptions, TenantOptions
from steelyard.gateway.refusals import LimitLines
from steelyard.policies.admission.limiter import ROW_WORDS, Limiter, Words
from steelyard.policies.admission.verdicts import LimitState, Refusal
from steelyard.runtime.limit_page import SLOTS


def subjects(tenants: Sequence[TenantOptions], queues: Sequence[str] = ()) -> list[str]:
    """Everything that is counted over all workers, by a name that stays the same over reloads.

    queues: pools where requests wait in turns, which count what each tenant took. Where there are too many of
    those for the limits' page, every worker keeps its turns for itself.
    """
    limited = [name for tenant in tenants for name in (tenant.name, *_model_subjects(tenant))]
    turns = [_turns_subject(tenant.name, pool) for tenant in tenants for pool in queues]
    return limited + turns if len(limited) + len(turns) <= SLOTS else limited


def _model_subjects(tenant: TenantOptions) -> Iterator[str]:
    return (_subject(tenant, limit) for limit in tenant.model_limits)


def _turns_subject(tenant: str, pool: str) -> str:
    return f"{tenant} \t{pool}"  # no model's name begins so


def _subject(tenant: TenantOptions, limit: ModelLimitOptions) -> str:
    return f"{tenant.name} {limit.model}"


class Tenant:
    """One tenant in one worker.

    cache_key: what its prompts' prefix hashes are keyed with; the same for all of a cache group.
    unpublished: limiters, of any tenant, whose rows are behind.
    """

    __slots__ = (
        "_by_model",
        "_limiter",
        "_lines",
        "_lines_by_model",
        "_models",
        "_turns",
        "cache_key",
        "limited",
        "name",
        "priority",
        "share",
        "unpublished",
    )

    def __init__(
        self,
        options: TenantOptions,
        limiter: Limiter,
        by_model: Mapping[str, Limiter],
        unpublished: list[Limiter] | None = None,
        turns: Mapping[str, Limiter] | None = None,
    ) -> None:
        """turns: what it took of each pool where requests wait in turns; none: nobody else is told."""
        self.name = options.name
        self.priority = PRIORITIES[options.priority]
        self.share = options.share
        self.cache_key = f"group {options.cache_group}" if options.cache_group else f"tenant {options.name}"
        self.limited = not limiter.unlimited or bool(by_model)
        self._limiter = limiter
        self._by_model = dict(by_model)
        self._models = frozenset(options.models)
        self._lines = LimitLines(limiter)
        self._lines_by_model = {model: LimitLines(each) for model, each in by_model.items()}
        self._turns = dict(turns or {})
        self.unpublished: list[Limiter] = unpublished if unpublished is not None else []

    def turns(self, pool: str) -> Limiter | None:
        """What it took of a pool where requests wait in turns, here and in other workers."""
        return self._turns.get(pool)

    @property
    def restricted(self) -> bool:
        """Whether it may use certain models only."""
        return bool(self._models)

    def may_use(self, model: str) -> bool:
        """Whether the model is one of its own."""
        return not self._models or model in self._models

    def usable(self, models: Sequence[str]) -> list[str]:
        """Those of the models that it may use."""
        return [model for model in models if self.may_use(model)]

    def admit(self, model: str, tokens: int, now_s: float) -> Refusal | None:
        """Reserve one request of so many tokens, or say what is in its way."""
        refusal = self._limiter.admit(tokens, now_s)
        if refusal is None and self._by_model and (limiter := self._by_model.get(model)) is not None:
            refusal = limiter.admit(tokens, now_s)
            if refusal is not None:
                self._limiter.undo(tokens)
        return refusal

    def settle(self, model: str, reserved: int, used: int, ran_s: float) -> None:
        """The request ended: it took so many tokens in truth."""
        self._limiter.settle(reserved, used, ran_s)
        if self._by_model and (limiter := self._by_model.get(model)) is not None:
            limiter.settle(reserved, used, ran_s)

    def lines(self, model: str, now_s: float) -> bytes:
        """What `state` says, as field lines."""
        if self._lines_by_model and (lines := self._lines_by_model.get(model)) is not None:
            return lines.at(now_s)
        return self._lines.at(now_s)

    def state(self, model: str, now_s: float) -> LimitState:
        """What is left: of the limits on the model where it has some, else of its own."""
        limiter = self._by_model.get(model, self._limiter) if self._by_model else self._limiter
        return limiter.state(now_s)


def build_tenants(
    options: Sequence[TenantOptions],
    slots: Mapping[str, int],
    own: Words,
    others: Sequence[Words],
    now_s: float,
) -> dict[str, Tenant]:
    """All tenants by name; they leave the writing of their rows to whoever looks at `unpublished`.

    own: this worker's row of the limit page; others: everybody else's.
    """
    unpublished: list[Limiter] = []

    def turns(tenant: TenantOptions) -> dict[str, Limiter]:
        start = _turns_subject(tenant.name, "")
        return {
            subject[len(start) :]: Limiter(
                own=own, others=others, at=slot * ROW_WORDS, now_s=now_s, unpublished=unpublished
            )
            for subject, slot in slots.items()
            if subject.startswith(start)
        }

    def limiter(subject: str, limits: TenantOptions | ModelLimitOptions) -> Limiter:
        return Limiter(
            requests_per_min=limits.requests_per_min,
            tokens_per_min=limits.tokens_per_min,
            max_running=limits.max_concurrent,
            own=own,
            others=others,
            at=slots[subject] * ROW_WORDS,
            now_s=now_s,
            unpublished=unpublished,
        )

    return {
        tenant.name: Tenant(
            tenant,
            limiter(tenant.name, tenant),
            {limit.model: limiter(_subject(tenant, limit), limit) for limit in tenant.model_limits},
            unpublished,
            turns(tenant),
        )
        for tenant in options
    }
