"""A first mapping from what a file's columns are called and hold, for people to put right."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Pairs
from typing import Any

import attrs

from ..entities.custom import CustomSpec
from ..entities.fields import FieldSpec
from ..entities.meta import snake, spec
from ..errors import CRMError
from .mapping import Mapping, Source, Written
from .readers import Rows
from .values import number, reader

# Words that columns have for what our fields are called.
_SYNONYMS: Pairs[str, str] = {
    "agent": "owner", "rep": "owner", "assigned": "owner", "responsible": "owner", "seller": "owner",
    "company": "account", "customer": "account", "organisation": "account", "organization": "account", "client": "account",
    "close": "closed_at", "closed": "closed_at", "closing": "closed_at", "engage": "opened_on", "opened": "opened_on",
    "value": "amount", "revenue": "amount", "sum": "amount", "total": "amount",
    "mail": "emails", "email": "emails", "phone": "phones", "telephone": "phones", "mobile": "phones", "tel": "phones",
    "street": "street", "city": "city", "town": "city", "zip": "postal_code", "postcode": "postal_code", "country": "country",
    "sector": "industry", "branch": "industry", "url": "website", "homepage": "website", "series": "family", "price": "list_price",
    "firstname": "first_name", "surname": "last_name", "lastname": "last_name", "title": "name", "label": "name",
}  # fmt: skip
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d", "%d.%m.%y")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIKE = 0.75
_LONGEST_NAME = 60  # of a column; what is longer is compared by its beginning, as comparing takes the square of it
_LABELS = ("name", "external_ref")


@attrs.frozen
class _Guess:
    """How well a column fits a field."""

    score: float
    column: str
    field: str


def propose(rows: Rows, entity: type[Any], fields: Pairs[str, FieldSpec], *, source: str = "file") -> Mapping:
    """Propose a mapping for a file that was just opened.

    Args:
        fields: the fields that may be written, by name: those of ``crm.codec(entity)``.
        source: what the file is called in the key: ``"<source>:{id}"``.
    """
    short = snake(entity.__name__)
    key = _key_column(rows.columns, short)
    texts = {c: _texts(rows, n) for n, c in enumerate(rows.columns)}
    taken: dict[str, str] = {}
    for guess in sorted(_guesses(rows.columns, short, fields), key=lambda g: -g.score):
        if guess.field not in taken and guess.column not in taken.values() and guess.column != key:
            taken[guess.field] = guess.column
    written = Written(decimal=_point(texts[c] for f, c in taken.items() if fields.get(f) and fields[f].kind in ("money", "decimal")))
    if "name" in fields and "name" not in taken and fields["name"].required and key:
        extra = {"name": Source(template=f"{short.replace('_', ' ').capitalize()} {{{key}}}")}
    else:
        extra = {}
    whole = len([row for row in rows.sample if row.error is None and not row.blank])
    currencies = {c: beside for c in taken.values() if (beside := f"{c}_currency") in rows.columns and beside not in taken.values()}
    found = {
        f: _source(c, fields.get(f), texts[c], written, gaps=len(texts[c]) < whole, currencies=currencies.get(c, ""))
        for f, c in taken.items()
    }
    named = key or taken.get("name", "")
    keyed = f"{source}:{{{named}}}" if named and "external_ref" in fields else ""
    ignore = [c for c in rows.columns if c not in taken.values() and c != key and c not in currencies.values()]
    return Mapping(entity=spec(entity).name, fields=extra | found, key=keyed, ignore=ignore, written=written)


def _texts(rows: Rows, column: int) -> list[str]:
    good = [row.cells[column] for row in rows.sample if row.error is None and not row.blank]
    return [str(cell).strip() for cell in good if cell not in ("", None)]


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name[:_LONGEST_NAME]).casefold())


def _key_column(columns: Sequence[str], short: str) -> str:
    """Find the column that numbers the records: ``id``, ``opportunity_id``."""
    for column in columns:
        words = _words(column)
        if words and words[-1] in ("id", "number", "no", "key", "uuid") and set(words[:-1]) <= {*short.split("_"), "record", "external"}:
            return column
    return ""


def _guesses(columns: Sequence[str], short: str, fields: Pairs[str, FieldSpec]) -> Iterator[_Guess]:
    targets = [n for n, f in fields.items() if not f.system and not f.options.read_only and f.kind != "list"]
    for name, field in fields.items():
        if field.kind == "list":
            parts = [a.name for a in attrs.fields(field.type) if a.name not in ("primary", "label")]
            targets += [name] if len(parts) == 1 else [f"{name}.{part}" for part in parts]
    for column in columns:
        words = _words(column)
        for target in targets:
            score = 1.0 if column == target else _score(words, target, short)
            if score >= _LIKE:
                yield _Guess(score, column, target)


def _score(words: Sequence[str], target: str, short: str) -> float:
    last = target.rpartition(".")[2]
    name = _words(last)
    meant = [_SYNONYMS.get(w, w) for w in words]
    if last == "name" and short.split("_") in (words, meant):
        return 1.0
    if words == name:
        return 1.0
    if last in meant:
        return 0.9 - len(words) / 100
    if set(name) & set(words) - {"date", "on", "at"}:
        return 0.8 - abs(len(words) - len(name)) / 100
    return difflib.SequenceMatcher(None, " ".join(meant), " ".join(name)).ratio() - 0.1


def _point(columns: Iterator[list[str]]) -> Any:
    """Tell the decimal point: the comma, where numbers can only be read with it."""
    texts = [t for column in columns for t in column]
    return "," if texts and not _reads(texts, ".") and _reads(texts, ",") else "."


def _reads(texts: Sequence[str], point: str) -> bool:
    try:
        for text in texts:
            number(text, point)
    except CRMError:
        return False
    return True


def _source(column: str, field: FieldSpec | None, texts: Sequence[str], written: Written, *, gaps: bool, currencies: str) -> Source:
    if field is None:
        return Source(column=column)
    if field.kind == "ref" and field.target and not (texts and all(map(_ID.fullmatch, texts))):
        names = spec(field.target).fields
        return Source(column=column, lookup=next((n for n in _LABELS if n in names), ""))
    if field.kind == "money":
        said = "" if currencies or isinstance(field, CustomSpec) else "EUR"
        return Source(column=column, currency=said, currency_column=currencies, default="0" if field.required and gaps else None)
    if field.kind in ("date", "datetime"):
        return Source(column=column, dates=_dates(field, column, texts, written))
    if field.kind == "enum":
        return Source(column=column, values=_members(field, texts))
    return Source(column=column)


def _dates(field: FieldSpec, column: str, texts: Sequence[str], written: Written) -> list[str]:
    """Find the first way of writing dates that all samples follow; none for ISO 8601."""
    for forms in ([], *([f] for f in _DATES)):
        read = reader("", field, Source(column=column, dates=forms), written)
        try:
            for text in texts:
                read(text)
        except CRMError:
            continue
        return forms
    return []


def _members(field: FieldSpec, texts: Sequence[str]) -> dict[str, str]:
    """Say of each value found which member it is most like; people see and correct it."""
    known = [str(m.value) for m in field.type]
    found = {}
    for text in sorted(set(texts) - set(known))[:30]:
        near = difflib.get_close_matches(text.casefold(), known, 1, 0.5)
        found[text] = near[0] if near else known[0]
    return found


def to_toml(mapping: Mapping) -> str:
    """Write a mapping as the TOML that :func:`read_mappings` reads."""
    lines = [f"{n} = {_value(getattr(mapping, n))}" for n in ("entity", "path", "key", "match", "ignore") if getattr(mapping, n)]
    for table in ("file", "written"):
        said = _changed(getattr(mapping, table))
        if said:
            lines += ["", f"[{table}]", *(f"{n} = {_value(v)}" for n, v in said.items())]
    lines += ["", "[fields]", *_fields(mapping.fields)]
    for name, part in mapping.records.items():
        lines += ["", f"[records.{_key(name)}]"]
        lines += [f"{n} = {_value(getattr(part, n))}" for n in ("entity", "key", "match") if getattr(part, n)]
        lines += ["", f"[records.{_key(name)}.fields]", *_fields(part.fields)]
    return "\n".join(lines) + "\n"


def _fields(fields: Pairs[str, Source]) -> Iterator[str]:
    for name, source in fields.items():
        said = _changed(source)
        shown = _value(source.column) if set(said) == {"column"} else _value(said)
        yield f"{_key(name)} = {shown}"


def _changed(made: Any) -> dict[str, Any]:
    """Return what differs from the defaults."""
    found = {}
    for a in attrs.fields(type(made)):
        default = a.default.factory() if isinstance(a.default, attrs.Factory) else a.default  # type: ignore[arg-type]  # attrs types Factory as a function
        value = getattr(made, a.name)
        if value != default:
            found[a.name] = value
    return found


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character that JSON allows and TOML does not


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)
