"""Groups of commands that plugins add to, by entry points of llmops.commands; imported when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from llmops_core.entry_points import EntryPoint


class Commands(click.Group):
    """The built-in commands, then those of plugins.

    The entry point `shine` is a command beside the built-in ones; `show.shine` stands in the group whose
    `within` is "show", and is typed as `llmops show shine`.
    """

    def __init__(self, *arguments: Any, within: str = "", **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.prefix = f"{within}." if within else ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return [name for name, _ in self._told()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command; a plugin's is imported only now."""
        own = super().get_command(ctx, cmd_name)
        point = None if own is not None else self._foreign().get(cmd_name)
        if point is None:
            return own
        from llmops_core.errors import PluginError
        from llmops_core.plugins import resolve

        try:
            found = resolve(point.value)
            if not isinstance(found, click.Command):
                shown = f"{self.prefix}{cmd_name}".replace(".", " ")
                what = f"the command {shown} of {point} is a {type(found).__name__}, not a click command"
                raise PluginError(what, remedy="Upgrade or remove it.")
        except PluginError:
            if ctx.resilient_parsing:
                return None  # a shell that completes has no place for errors; the command itself tells them
            raise
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with the first sentence of its help; plugins' commands are not imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl(self._told())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands, none of them imported, and the options of the group."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=told) for name, told in self._told() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def _told(self) -> list[tuple[str, str]]:
        """Every command with what is said of it."""
        rows = [(name, self.commands[name].get_short_help_str(80)) for name in self.commands]
        return rows + [(name, _told_of(point)) for name, point in sorted(self._foreign().items())]

    def _foreign(self) -> dict[str, EntryPoint]:
        from llmops_core.entry_points import COMMANDS, entry_points

        found = {
            point.name.removeprefix(self.prefix): point
            for point in entry_points(COMMANDS)
            if point.name.startswith(self.prefix)
        }
        return {name: point for name, point in found.items() if name not in self.commands and "." not in name}


def _told_of(point: EntryPoint) -> str:
    """What a plugin's command does, and whose it is where it is not ours."""
    from llmops_core.docstrings import docstring

    said = click.Command(None, help=docstring(point.value)).get_short_help_str(80)
    if point.distribution == "llmops" and said:
        return said
    return f"{said} (from {point})" if said else f"from {point}"
