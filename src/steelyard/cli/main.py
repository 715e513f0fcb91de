"""The `steelyard` command. Verbs are loaded when they are called, so that the command starts at once."""

import importlib
import sys
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from steelyard.cli import exit_codes, terminal
from steelyard.cli.examples import with_examples
from steelyard.model.errors import SteelyardError, nearest_or_known
from steelyard.version import __version__

VERBS = {
    "serve": ("steelyard.cli.serve", "Balance requests over engines."),
    "check": ("steelyard.cli.check", "Check a configuration file and say what it would do."),
    "keys": ("steelyard.cli.keys", "Make, list and revoke API keys."),
    "reload": ("steelyard.cli.control", "Let a running gateway take up its changed configuration."),
    "upgrade": ("steelyard.cli.control", "Let the installed program take over from the running one."),
    "status": ("steelyard.cli.status", "Say how a running gateway fares."),
    "audit": ("steelyard.cli.audit", "Check that an audit log is whole."),
    "policies": ("steelyard.cli.policies", "List the policies for routing, placement and ordering."),
    "why": ("steelyard.cli.why", "Say why a request went where it went."),
    "shadow": ("steelyard.cli.shadow", "Say how often a shadow policy would have chosen otherwise."),
    "engine": ("steelyard.cli.engine", "Run an emulated LLM engine."),
    "replay": ("steelyard.cli.replay", "Replay a trace against an endpoint and sum it up."),
    "simulate": ("steelyard.cli.simulate", "Try policies on a trace in virtual time."),
    "plan": ("steelyard.cli.plan", "Find how many replicas a load needs."),
    "up": ("steelyard.cli.up", "Run the jobs service."),
    "down": ("steelyard.cli.down", "End the jobs service with all that runs under it."),
    "submit": ("steelyard.cli.submit", "Submit jobs from a file, or a command."),
    "jobs": ("steelyard.cli.jobs", "List jobs."),
    "job": ("steelyard.cli.job", "Show one job: tasks, why they wait, timeline."),
    "logs": ("steelyard.cli.logs", "Print what a task writes."),
    "cancel": ("steelyard.cli.cancel", "Make a job leave for good."),
    "pause": ("steelyard.cli.pause", "Make a job leave its nodes for a while."),
    "resume": ("steelyard.cli.resume", "Let a paused job go on."),
    "move": ("steelyard.cli.move", "Move a task to another node."),
    "nodes": ("steelyard.cli.nodes", "List nodes and their load."),
    "drain": ("steelyard.cli.drain", "Empty a node."),
    "top": ("steelyard.cli.top", "Watch replicas, nodes and running tasks."),
    "simulate-cluster": (
        "steelyard.cli.simulate_cluster",
        "Try placement and queueing on a cluster's trace.",
    ),
    "replay-log": ("steelyard.cli.replay_log", "Ask what other policies had done with logged traffic."),
    "completion": ("steelyard.cli.completion", "Print what makes a shell complete."),
    "demo": ("steelyard.cli.demo", "Watch a fleet, its policies, and an engine that dies."),
}

SECTIONS = {
    "Requests": ("serve", "check", "status", "top", "why", "shadow", "reload", "upgrade", "keys", "audit"),
    "Jobs": (
        *("up", "submit", "jobs", "job", "logs", "nodes"),
        *("pause", "resume", "move", "cancel", "drain", "down"),
    ),
    "Trying and planning": (
        *("demo", "engine", "policies", "simulate", "simulate-cluster"),
        *("plan", "replay", "replay-log", "completion"),
    ),
}
WIDEST = max(map(len, VERBS))


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order in which a newcomer needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        command = getattr(module, cmd_name.replace("-", "_"))
        return with_examples(command, cmd_name) if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; one that is not there is an error that names the nearest."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            hint = nearest_or_known(args[0], tuple(VERBS))
            raise click.UsageError(f"there is no verb {args[0]!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs that begin so, without loading them."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        found = [verb for verb in VERBS if verb.startswith(incomplete)]
        return [CompletionItem(verb, help=VERBS[verb][1]) for verb in found]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without loading them, each part of the program apart."""
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{verb:{WIDEST}}", VERBS[verb][1]) for verb in verbs])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="steelyard")
def steelyard() -> None:
    """A load balancer for data centres that train and serve large AI models.

    \b
    Try it:
      steelyard demo
      steelyard serve --emulated 2
      steelyard serve --engine http://127.0.0.1:8000 --engine http://127.0.0.1:8001
    """


def _sentence(error: click.ClickException) -> str:
    """What click found wrong with the command line, and where to look, in one line."""
    text = " ".join(error.format_message().split()).removesuffix(".")
    text = text[:1].lower() + text[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return text
    end = " See" if text.endswith("?") else ": see"
    return f"{text}{end} `{context.command_path} --help`"


def main() -> None:
    """Run a command; what went wrong is one sentence and an exit code."""
    terminal.open_outputs()
    try:
        try:
            code = steelyard.main(prog_name="steelyard", standalone_mode=False) or exit_codes.DONE
        finally:
            terminal.close_output()
        sys.exit(code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(exit_codes.MISTAKE)
    except click.ClickException as error:
        _fail(_sentence(error), exit_codes.MISTAKE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(exit_codes.INTERRUPTED)
    except SteelyardError as error:
        _fail(str(error), exit_codes.of(error))
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}", exit_codes.MISTAKE)


def _fail(sentence: str, code: int) -> NoReturn:
    print(f"steelyard: {sentence}", file=sys.stderr)
    sys.exit(code)
