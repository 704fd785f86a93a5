"""``crm plugin check``: try the rules of the conformance kit on a plugin."""

from __future__ import annotations

import click


@click.command("check")
@click.argument("name")
@click.option("--examples", metavar="FILE", type=click.Path(), help="Where its examples are [tests/conformance.py, if it is there].")
@click.option("--quality", metavar="FILE", type=click.Path(), default="quality.json", show_default=True, help="Where the report goes.")
@click.option("--rules", "listed", is_flag=True, help="Only list the rules.")
def check_(name: str, examples: str | None, quality: str, listed: bool) -> None:
    """Try the rules of the conformance kit on the plugin NAME (acme.loyalty, or package.module:name), and then on its companions.

    A companion is tried where what it stands beside is installed. Exit code 1: a rule is broken.
    """
    from ..testing.conformance.given import databases_here, examples_at, installed, plugin_named
    from ..testing.conformance.trial import RULES, check, companions_of

    if listed:
        for rule in RULES:
            click.echo(f"{rule}: {rule.sentence}")
        return
    with databases_here() as (databases, problem):
        if problem:
            click.echo(f"no PostgreSQL: {problem}", err=True)
        plugin, others, given = plugin_named(name), installed(), examples_at(examples)
        tried = [plugin, *companions_of(plugin, others)]
        reports = [check(each, others=[plugin, *others], examples=given, databases=databases) for each in tried]
    reports[0].write(quality, *reports[1:])
    for line in (line for report in reports for line in report.lines()):
        click.echo(line)
    if any(report.failed for report in reports):
        raise click.exceptions.Exit(1)
