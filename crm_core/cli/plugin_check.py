"""``crm plugin check``: try the rules of the conformance kit on a plugin."""

from __future__ import annotations

import click


@click.command("check")
@click.argument("name")
@click.option("--examples", metavar="FILE", type=click.Path(), help="Where its examples are [tests/conformance.py, if it is there].")
@click.option("--quality", metavar="FILE", type=click.Path(), default="quality.json", show_default=True, help="Where the report goes.")
@click.option("--rules", "listed", is_flag=True, help="Only list the rules.")
def check_(name: str, examples: str | None, quality: str, listed: bool) -> None:
    """Try the rules of the conformance kit on the plugin NAME (acme.loyalty, or package.module:name).

    Exit code 1: a rule is broken.
    """
    from ..testing.conformance.given import databases_here, examples_at, installed, plugin_named
    from ..testing.conformance.trial import RULES, check

    if listed:
        for rule in RULES:
            click.echo(f"{rule}: {rule.sentence}")
        return
    with databases_here() as (databases, problem):
        if problem:
            click.echo(f"no PostgreSQL: {problem}", err=True)
        report = check(plugin_named(name), others=installed(), examples=examples_at(examples), databases=databases)
    report.write(quality)
    for line in report.lines():
        click.echo(line)
    if report.failed:
        raise click.exceptions.Exit(1)
