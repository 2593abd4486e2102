#!/usr/bin/env python3
"""Adds every figure up again from the records, and compares it with what the program says.

    taizhang-hub figures --dump FILE
    python3 recompute.py FILE [--catalogue FOLDER]
    python3 recompute.py --self-test

The dump holds the records, the place tree, and the program's figures of every place and period. What an
indicator means is read from the parts of the catalogue (TOML) and worked out here: an evaluator of the CEL
that they use, the months of flows, the sums up the tree, duplicates, records left behind by a move. Nothing
is shared with the program. Three things are taken from the dump as they are: which rules found something on a
record, the parameters in force for it, and whether an identity number is a good one, since the dump masks
numbers and texts.

Exit code: 0 all figures are equal; 1 some differ; 2 they cannot be compared.

Python 3.11 or newer, standard library only.
"""

import argparse
import copy
import datetime
import json
import os
import re
import sys

try:
    import tomllib
except ImportError:  # before 3.11
    tomllib = None

DIFFERENCES_SHOWN = 50
PLACES_ON_A_PATH_MAX = 13
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
WORKDAYS_MAX = 400
# What one record adds to one sum at most, either way: more is a slip of typing.
AMOUNT_MAX = 10**12
# Steps of no workflow: a record that moved to another place, at the old place and at the new one.
LEFT, CAME = "_left", "_came"


class Failed(Exception):
    """An expression that fails on a row, as CEL defines it: the row does not count."""


class Unknown(Exception):
    """Something that this script cannot work out: no comparison is possible."""


# --- Values -----------------------------------------------------------------------------------------------
#
# None, bool, int, str, list and dict stand for CEL's values. A masked text stands for itself.


class Masked:
    """A text that the dump does not show. Equal numbers mean equal texts; 0 is no number."""

    def __init__(self, number, birth):
        self.number = number
        self.birth = birth

    def of(self):
        if not self.number:
            raise Unknown("the text of a masked field is compared")
        return self.number


def value_of(found):
    """A scalar of the dump."""
    if isinstance(found, dict):
        return Masked(found["masked"], found.get("birth"))
    return found


def equal(one, two):
    """CEL's equality: values of different types are different."""
    if isinstance(one, Masked) or isinstance(two, Masked):
        if one is None or two is None:
            return False
        if isinstance(one, Masked) and isinstance(two, Masked):
            return one.of() == two.of()
        raise Unknown("a masked text is compared with another value")
    if type(one) is not type(two):
        return False
    if isinstance(one, list):
        return len(one) == len(two) and all(map(equal, one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    return one == two


def whole(value):
    """A whole number that fits in 64 bits."""
    if type(value) is not int or not INT_MIN <= value <= INT_MAX:
        raise Failed("no whole number of 64 bits")
    return value


def truth(value):
    if type(value) is not bool:
        raise Failed("no truth value")
    return value


def listed(value):
    if not isinstance(value, list):
        raise Failed("no list")
    return value


# --- Dates and numbers of people --------------------------------------------------------------------------


def day_of(text):
    if isinstance(text, Masked):
        raise Unknown("the day in a masked text")
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise Failed("no date")
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise Failed("no such day") from None


def iso(day):
    return f"{day.year:04}-{day.month:02}-{day.day:02}"


def days(start, end):
    return (day_of(end) - day_of(start)).days


def age(birth, on):
    birth, on = day_of(birth), day_of(on)
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))


def plus_days(start, count):
    day = day_of(start).toordinal() + whole(count)
    return iso(datetime.date.fromordinal(min(max(day, 1), datetime.date.max.toordinal())))


def plus_months(start, count):
    day = day_of(start)
    months = day.year * 12 + day.month - 1 + whole(count)
    year, month = min(max(months // 12, 1), 9999), months % 12 + 1
    for last in range(day.day, 27, -1):
        try:
            return iso(datetime.date(year, month, last))
        except ValueError:
            continue
    return iso(datetime.date(year, month, day.day))


def workday(calendar, start, count):
    turned = {
        row["date"]: row["is_workday"]
        for row in listed(calendar)
        if isinstance(row.get("date"), str) and isinstance(row.get("is_workday"), bool)
    }
    day, left = day_of(start), min(max(whole(count), 0), WORKDAYS_MAX)
    while left:
        day += datetime.timedelta(days=1)
        left -= turned.get(iso(day), day.weekday() < 5)
    return iso(day)


def workdays(calendar, start, end):
    """Days that are worked, of those after the first day up to the last one; backwards they are negative."""
    first, last = day_of(start), day_of(end)
    if last < first:
        return -workdays(calendar, end, start)
    turned = {
        day_of(row["date"]).toordinal(): row["is_workday"]
        for row in listed(calendar)
        if isinstance(row.get("date"), str) and isinstance(row.get("is_workday"), bool)
    }
    span = range(first.toordinal() + 1, last.toordinal() + 1)
    # Day 1 of the calendar of `datetime` was a Monday.
    return sum(turned.get(day, day % 7 not in (6, 0)) for day in span)


def band(bands, amount):
    """The figure of the last step at or below an amount, of `0=1,300000=2`."""
    try:
        steps = [tuple(int(part) for part in pair.split("=")) for pair in bands.split(",")]
    except (AttributeError, ValueError):
        raise Failed("no bands") from None
    if any(len(step) != 2 for step in steps) or steps != sorted(set(steps)):
        raise Failed("no bands")
    return max([(0, 0, 0)] + [(1, *step) for step in steps if step[0] <= whole(amount)])[2]


def birth_of(number):
    """The day of birth in a citizen identity number of GB 11643, or None if the number is wrong."""
    if isinstance(number, Masked):
        return number.birth
    if not isinstance(number, str):
        raise Failed("no text")
    if not re.fullmatch(r"[0-9]{17}[0-9Xx]", number):
        return None
    # ISO 7064 MOD 11-2: over all characters, each times a power of two, the remainder is 1.
    digits = [10 if sign in "Xx" else int(sign) for sign in number]
    if sum(digit * 2 ** (17 - at) for at, digit in enumerate(digits)) % 11 != 1:
        return None
    birth = f"{number[6:10]}-{number[10:12]}-{number[12:14]}"
    try:
        day_of(birth)
    except Failed:
        return None
    return birth


# --- CEL --------------------------------------------------------------------------------------------------

TOKEN = re.compile(
    r"\s*(?:(?P<int>[0-9]+)|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign>\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()\[\]]))"
)
CONSTANTS = {"true": True, "false": False, "null": None}
MACROS = ("all", "exists", "exists_one", "filter", "map")


def tokens_of(source):
    tokens, at = [], 0
    source = source.rstrip()
    while at < len(source):
        found = TOKEN.match(source, at)
        if not found:
            raise Unknown(f"cannot read `{source[at:]}`")
        tokens.append((found.lastgroup, found.group(found.lastgroup)))
        at = found.end()
    return tokens + [("end", "")]


class Parser:
    """Turns a text into a function of the names that hold: a dict."""

    def __init__(self, source):
        self.source, self.tokens, self.at = source, tokens_of(source), 0

    def parse(self):
        found = self.conditional()
        if self.tokens[self.at][0] != "end":
            raise Unknown(f"cannot read the end of `{self.source}`")
        return found

    def takes(self, *signs):
        kind, text = self.tokens[self.at]
        if (kind == "sign" and text in signs) or (text == "in" and kind == "name" and "in" in signs):
            self.at += 1
            return text
        return None

    def needs(self, sign):
        if not self.takes(sign):
            raise Unknown(f"`{sign}` is missing in `{self.source}`")

    def conditional(self):
        condition = self.either()
        if not self.takes("?"):
            return condition
        one = self.conditional()
        self.needs(":")
        two = self.conditional()
        return lambda names: one(names) if truth(condition(names)) else two(names)

    def either(self):
        left = self.both()
        while self.takes("||"):
            left = logical(left, self.both(), True)
        return left

    def both(self):
        left = self.relation()
        while self.takes("&&"):
            left = logical(left, self.relation(), False)
        return left

    def relation(self):
        left = self.sum()
        while sign := self.takes("==", "!=", "<=", ">=", "<", ">", "in"):
            left = binary(RELATIONS[sign], left, self.sum())
        return left

    def sum(self):
        left = self.product()
        while sign := self.takes("+", "-"):
            left = binary(ARITHMETIC[sign], left, self.product())
        return left

    def product(self):
        left = self.unary()
        while sign := self.takes("*", "/", "%"):
            left = binary(ARITHMETIC[sign], left, self.unary())
        return left

    def unary(self):
        if self.takes("!"):
            inner = self.unary()
            return lambda names: not truth(inner(names))
        if self.takes("-"):
            inner = self.unary()
            return lambda names: whole(-whole(inner(names)))
        return self.member()

    def member(self):
        found = self.primary()
        while sign := self.takes(".", "["):
            if sign == "[":
                found = binary(item, found, self.conditional())
                self.needs("]")
                continue
            kind, name = self.tokens[self.at]
            if kind != "name":
                raise Unknown(f"no name after `.` in `{self.source}`")
            self.at += 1
            if not self.takes("("):
                found = select(found, name)
            elif name in MACROS:
                found = self.macro(found, name)
            else:
                found = call(name, [found] + self.rest(")"))
        return found

    def macro(self, over, name):
        kind, variable = self.tokens[self.at]
        self.at += 1
        self.needs(",")
        if kind != "name":
            raise Unknown(f"a loop without a name in `{self.source}`")
        body = self.conditional()
        self.needs(")")
        return loop(name, over, variable, body)

    def rest(self, close):
        """Expressions up to a closing sign."""
        found = []
        while not self.takes(close):
            if found:
                self.needs(",")
            found.append(self.conditional())
        return found

    def primary(self):
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "int":
            number = int(text)
            return lambda names: whole(number)
        if kind == "text":
            constant = re.sub(r"\\(.)", r"\1", text[1:-1])
            return lambda names: constant
        if kind == "name" and text in CONSTANTS:
            return lambda names: CONSTANTS[text]
        if kind == "name" and self.takes("("):
            return call(text, self.rest(")"))
        if kind == "name":
            return name_of(text)
        if text == "(":
            found = self.conditional()
            self.needs(")")
            return found
        if text == "[":
            elements = self.rest("]")
            return lambda names: [element(names) for element in elements]
        raise Unknown(f"cannot read `{self.source}` at `{text}`")


def name_of(name):
    def read(names):
        if name not in names:
            raise Unknown(f"nothing is called `{name}`")
        return names[name]

    return read


def logical(left, right, absorbing):
    """`||` (absorbing true) and `&&` (absorbing false): what decides alone decides beside an error too."""

    def evaluate(names):
        error = None
        try:
            if truth(left(names)) is absorbing:
                return absorbing
        except Failed as failed:
            error = failed
        value = truth(right(names))
        if error and value is not absorbing:
            raise error
        return value

    return evaluate


def binary(operator, left, right):
    return lambda names: operator(left(names), right(names))


def ordered(compare):
    def evaluate(one, two):
        if isinstance(one, Masked) or isinstance(two, Masked):
            raise Unknown("a masked text is ordered")
        if type(one) is not type(two) or type(one) not in (int, str):
            raise Failed("values of these types have no order")
        return compare(one, two)

    return evaluate


def divided(one, two):
    """Towards zero, as machines divide."""
    if whole(two) == 0:
        raise Failed("a division by zero")
    quotient = abs(whole(one)) // abs(two)
    return quotient if (one < 0) == (two < 0) else -quotient


def added(one, two):
    if isinstance(one, list) and isinstance(two, list):
        return one + two
    return whole(whole(one) + whole(two))


RELATIONS = {
    "==": equal,
    "!=": lambda one, two: not equal(one, two),
    "<": ordered(lambda one, two: one < two),
    "<=": ordered(lambda one, two: one <= two),
    ">": ordered(lambda one, two: one > two),
    ">=": ordered(lambda one, two: one >= two),
    "in": lambda one, many: any(equal(one, other) for other in listed(many)),
}
ARITHMETIC = {
    "+": added,
    "-": lambda one, two: whole(whole(one) - whole(two)),
    "*": lambda one, two: whole(whole(one) * whole(two)),
    "/": lambda one, two: whole(divided(one, two)),
    "%": lambda one, two: whole(one - two * divided(one, two)),
}


def item(many, at):
    if not 0 <= whole(at) < len(listed(many)):
        raise Failed("no such element")
    return many[at]


def select(of, field):
    def evaluate(names):
        found = of(names)
        if not isinstance(found, dict) or field not in found:
            raise Failed(f"no field {field}")
        return found[field]

    return evaluate


def loop(name, over, variable, body):
    def evaluate(names):
        inner = dict(names)

        def at(element):
            inner[variable] = element
            return body(inner)

        elements = listed(over(names))
        if name == "map":
            return [at(element) for element in elements]
        if name == "filter":
            return [element for element in elements if truth(at(element))]
        if name == "exists_one":
            return sum(truth(at(element)) for element in elements) == 1
        deciding, error = name == "exists", None
        for element in elements:
            try:
                if truth(at(element)) is deciding:
                    return deciding
            except Failed as failed:
                error = failed
        if error:
            raise error
        return not deciding

    return evaluate


def size(value):
    if isinstance(value, Masked):
        raise Unknown("the length of a masked text")
    if not isinstance(value, (str, list)):
        raise Failed("no size")
    return len(value)


def distinct(many):
    found = []
    for one in listed(many):
        if not any(equal(one, other) for other in found):
            found.append(one)
    return found


def text_of(number):
    return number if isinstance(number, str) else str(whole(number))


def texts(test):
    def evaluate(one, two):
        if isinstance(one, Masked) or isinstance(two, Masked):
            raise Unknown("a part of a masked text")
        if not isinstance(one, str) or not isinstance(two, str):
            raise Failed("no text")
        return test(one, two)

    return evaluate


# A function is called on its first value, or with all of them: `days(a, b)`, `a.days(b)`.
FUNCTIONS = {
    ("age", 2): age,
    ("band", 2): band,
    ("contains", 2): texts(lambda one, two: two in one),
    ("days", 2): days,
    ("distinct", 1): distinct,
    ("endsWith", 2): texts(lambda one, two: one.endswith(two)),
    ("id_birth", 1): lambda number: birth_of(number) or "",
    ("id_ok", 1): lambda number: birth_of(number) is not None,
    ("plus_days", 2): plus_days,
    ("plus_months", 2): plus_months,
    ("size", 1): size,
    ("startsWith", 2): texts(lambda one, two: one.startswith(two)),
    ("string", 1): text_of,
    ("sum", 1): lambda many: whole(sum(whole(one) for one in listed(many) if one is not None)),
    ("workday", 3): workday,
    ("workdays", 3): workdays,
}


def call(name, arguments):
    function = FUNCTIONS.get((name, len(arguments)))
    if function is None:
        raise Unknown(f"no function `{name}` of {len(arguments)} value(s)")
    return lambda names: function(*(argument(names) for argument in arguments))


# --- The catalogue ----------------------------------------------------------------------------------------


class Indicator:
    def __init__(self, raw, ledger):
        self.id = raw["id"]
        self.filter = Parser(raw["where"]).parse()
        self.distinct = raw.get("distinct")
        self.period, self.step = raw.get("period"), raw.get("step")
        self.sources = raw.get("from", [])
        self.lines, self.line = raw.get("lines"), raw.get("line")
        self.sums_read = raw.get("figures", [])
        self.words = {text for part in ("where", "sum") for _, text in tokens_of(raw.get(part, ""))}
        self.sum = None
        if "sum" in raw:
            of_line = self.lines and raw["sum"] in ledger.columns[self.lines]
            self.sum = Parser(f"line.{raw['sum']}" if of_line else raw["sum"]).parse()

    def places_in_time(self, record, names, ledger):
        """Every time at which a record counts: its period, and the names that hold there."""
        if self.step in (LEFT, CAME):
            yield from self.edge(record, names, ledger)
            return
        for period, scope in self.times(record, names, ledger):
            if is_here(record, period):
                yield period, scope

    def times(self, record, names, ledger):
        if self.period:
            yield period_of(record["fields"].get(self.period)), names
        elif self.step:
            passed = [ledger.initial] + names["passed"]
            for at, step in enumerate(names["steps"]):
                if step["to"] == self.step and (not self.sources or passed[at] in self.sources):
                    month = counted_in(record, step["date"][:7], at < record["carried"])
                    yield month, {**names, "step": step, "before": passed[: at + 1]}
        elif self.lines:
            for line, written in zip(names[self.lines], record["logs"].get(self.lines, [])):
                period = period_of(line[self.line]) if self.line else ""
                yield counted_in(record, period, written["carried"]), {**names, "line": line}
        else:
            yield "", names

    def edge(self, record, names, ledger):
        """The move away from a place, or to it: once, in its month, of a record as it was when that month
        began: all that happened in it counts at the new place. A record of that month has no past."""
        date = (record["moved"] or {}).get("date") if self.step == LEFT else record["came"]
        if date is None or ledger.business_day(record)[:7] >= date[:7]:
            return
        month = date[:7]
        earlier = [step["to"] for step in names["steps"] if step["date"][:7] < month]
        step = {"to": self.step, "date": month, "level": "village"}
        yield month, {**names, "step": step, "before": [ledger.initial] + earlier}

    def amount(self, names):
        """What counts; 0 if the row does not."""
        try:
            if self.filter(names) is not True:
                return 0
            value = 1 if self.sum is None else self.sum(names)
            return 0 if value is None else clamped(whole(value))
        except Failed:
            # The filter or the sum fails on this row.
            return 0


class Ledger:
    def __init__(self, raw):
        self.fields = [field["id"] for field in raw.get("field", [])]
        self.kinds = {field["id"]: field["kind"] for field in raw.get("field", [])}
        self.columns = {
            field["id"]: [column["id"] for column in field["columns"]]
            for field in raw.get("field", [])
            if field["kind"] == "log"
        }
        self.references = [id for id, kind in self.kinds.items() if kind.startswith("ref:")]
        self.identity, self.business_date = raw.get("identity"), raw.get("business_date")
        self.initial = raw.get("workflow", {}).get("initial", "")
        self.indicators = [Indicator(one, self) for one in raw.get("indicator", [])]
        # Whole registers that its rules read, if an indicator reads them too.
        words = set().union(*(one.words for one in self.indicators))
        self.registers = {
            name: uses["ledger"]
            for rule in raw.get("rule", [])
            for name, uses in rule.get("uses", {}).items()
            if uses.get("path") and not uses.get("by") and name in words and name not in self.fields
        }

    def names(self, record, as_of):
        """What an expression may read of a record."""
        names = {}
        for id in self.fields:
            kind = self.kinds[id]
            if kind == "log":
                names[id] = [self.line(id, line) for line in record["logs"].get(id, [])]
            elif kind == "attach" or kind.startswith("set:"):
                names[id] = [value_of(one) for one in record["sets"].get(id, [])]
            else:
                names[id] = value_of(record["fields"].get(id))
        steps = [
            {"to": step["to"], "date": step["date"] or china_day(step["time"]), "level": step["level"]}
            for step in record["steps"]
        ]
        names.update(
            _id=record["record"],
            state=record["state"],
            steps=steps,
            passed=[step["to"] for step in steps],
            superseded=record["superseded"],
            needs_recheck=record["needs_recheck"],
            created_level=record["created_level"],
            failed=record["failed"],
            unchecked=record["unchecked"],
            as_of=as_of,
            as_of_year=int(as_of[:4]),
            # In January the year that ended is reported.
            report_year=int(as_of[:4]) - (as_of[5:7] == "01"),
            p=record.get("params", {}),
        )
        return names

    def business_day(self, record):
        """The record's own day: of a year the last one, of a month the first; else that of its creation."""
        value = value_of(record["fields"].get(self.business_date))
        if type(value) is int and 1 <= value <= 9999:
            return f"{value:04}-12-31"
        if isinstance(value, Masked):
            raise Unknown("the day in a masked text")
        for text in (value, f"{value}-01") if isinstance(value, str) else ():
            try:
                return iso(day_of(text))
            except Failed:
                continue
        return china_day(record["created"])

    def line(self, log, line):
        found = {column: value_of(line["columns"].get(column)) for column in self.columns[log]}
        found["_level"] = line["level"]
        return found


def china_day(millis):
    china = datetime.timezone(datetime.timedelta(hours=8))
    return iso(datetime.datetime.fromtimestamp(millis / 1000, china).date())


def period_of(value):
    """The month of a day, a month, or a year; nothing for a row without one."""
    if type(value) is int:
        return f"{value:04}"
    return value[:7] if isinstance(value, str) else ""


def counted_in(record, period, carried):
    """When something counts: what was written here, not before the record came; what came with it, by its
    own period."""
    came = (record["came"] or "")[:7]
    return came if period and not carried and period < came else period


def is_here(record, period):
    """Whether what happened then counts where the record stands: of a record that moved, what happened
    before the month of the move counts at the old place, and all else at the new one."""
    moved, came = record["moved"], record["came"]
    if not period:
        return moved is None
    return (came is None or came[:7] <= period) and (moved is None or period < moved["date"][:7])


def clamped(amount):
    return min(max(amount, -AMOUNT_MAX), AMOUNT_MAX)


def read_catalogue(folder, parts):
    """Ledgers of the parts in force: {name: version}."""
    ledgers, found = {}, {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".toml"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            raw = tomllib.load(file)
        part = raw.get("part", {})
        if part.get("name") in parts:
            found[part["name"]] = part["version"]
            ledgers.update({id: Ledger(one) for id, one in raw.get("ledger", {}).items()})
    if found != parts:
        differ = sorted(name for name in parts if found.get(name) != parts[name])
        raise Unknown(f"parts of another catalogue are in force: {', '.join(differ)}")
    return ledgers


# --- Sums -------------------------------------------------------------------------------------------------


class Tree:
    def __init__(self, places):
        self.parents = {place["id"]: place["parent"] for place in places}
        self.names = {place["id"]: place["name"] for place in places}
        self.roots = {place["id"] for place in places if place["level"] == "city"}

    def above(self, place):
        """A place and those above it, up to the city; none if it does not hang below the city."""
        path = []
        while place is not None and len(path) < PLACES_ON_A_PATH_MAX:
            path.append(place)
            place = self.parents.get(place)
        return path if path[-1] in self.roots else []

    def common(self, one, other):
        """The lowest place above both."""
        others = set(self.above(other))
        return next((place for place in self.above(one) if place in others), None)


class Facts:
    """What must be known of all records before one is added up."""

    def __init__(self, tree, ledgers, office):
        self.tree, self.ledgers, self.office = tree, ledgers, office
        self.moved, self.alike, self.decisions = set(), {}, {}
        self.registers = {}

    def note(self, record):
        key = (record["kind"], record["place"], record["record"])
        if record["moved"] and not record["moved"]["along"] and not record["void"]:
            # Whatever refers to it should have gone with it.
            self.moved.add(key)
        if record["void"] or record["moved"]:
            return
        if record["kind"] != "ledger":
            self.registers.setdefault((record["place"], record["ledger"]), []).append(record)
        rank = (record["lamport"], record["record"])
        if record["ledger"] == "sys_same":
            # A person decided whether two records are one; the latest decision holds.
            fields = record["fields"]
            pair = (record["place"], frozenset((fields.get("one"), fields.get("other"))))
            self.decisions.setdefault(pair, []).append((rank, fields.get("same") is True))
        identity = self.identity_of(record)
        if identity is not None:
            self.alike.setdefault(identity, []).append((rank, record["place"], record["kind"]))

    def identity_of(self, record):
        ledger = self.ledgers.get(record["ledger"])
        if ledger is None or ledger.identity is None:
            return None
        value = value_of(record["fields"].get(ledger.identity))
        if value is None or value == "":
            return None
        return record["ledger"], value.of() if isinstance(value, Masked) else str(value)

    def register(self, ledger, place, as_of):
        """The records of a register at a place and above it, as expressions read them."""
        found = [one for at in self.tree.above(place) for one in self.registers.get((at, ledger), [])]
        return [self.ledgers[ledger].names(one, as_of) for one in found if ledger in self.ledgers]

    def counted_above(self, record):
        """The places in which a record counts: not where an earlier record of the same identity is seen
        too, and nowhere if it refers to a record that has moved away."""
        path = self.tree.above(record["place"])
        # Registers of the offices above are read at the dump's office; they count there.
        if record["kind"] != "ledger" and self.office not in path:
            return []
        if record["moved"]:
            return path
        ledger = self.ledgers[record["ledger"]]
        for field in ledger.references:
            key = (record["kind"], record["place"], str(record["fields"].get(field)).lower())
            if key in self.moved:
                return []
        own = (record["lamport"], record["record"])
        for rank, place, _ in self.alike.get(self.identity_of(record), []):
            if rank >= own or self.is_another(record, rank[1], place):
                continue
            common = self.tree.common(record["place"], place)
            if common in path:
                path = path[: path.index(common)]
        return path

    def is_another(self, record, other, place):
        """Whether a person decided that two records alike are not one."""
        owner = self.tree.common(record["place"], place)
        pair = frozenset((f"{record['place']}/{record['record']}", f"{place}/{other}"))
        decided = self.decisions.get((owner, pair))
        return decided is not None and not max(decided)[1]


class Sums:
    def __init__(self, facts, as_of):
        self.facts, self.as_of = facts, as_of
        self.figures, self.values = {}, {}

    def add(self, record, sums=None):
        """Adds a record: first without sums, then by the indicators that read the sums at its place."""
        ledger = self.facts.ledgers.get(record["ledger"])
        if record["void"] or ledger is None:
            return
        asked = [one for one in ledger.indicators if bool(one.sums_read) == (sums is not None)]
        if not asked:
            return
        places = self.facts.counted_above(record)
        if not places:
            return
        names = ledger.names(record, self.as_of)
        for name, register in ledger.registers.items():
            names[name] = self.facts.register(register, record["place"], self.as_of)
        for indicator in asked:
            names["f"] = {id: sums.get((record["place"], id, ""), 0) for id in indicator.sums_read}
            try:
                self.add_indicator(indicator, record, names, ledger, places)
            except Unknown as unknown:
                raise Unknown(f"{indicator.id}: {unknown}") from None

    def add_indicator(self, indicator, record, names, ledger, places):
        amounts = {}
        for period, scope in indicator.places_in_time(record, names, ledger):
            amount = indicator.amount(scope)
            if amount and indicator.distinct:
                self.add_value(indicator, record, scope[indicator.distinct], places)
            elif amount:
                amounts[period] = clamped(amounts.get(period, 0) + amount)
        for period, amount in amounts.items():
            for place in places:
                self.add_to(place, indicator.id, period, amount)

    def add_to(self, place, indicator, period, amount):
        key = (place, indicator, period)
        self.figures[key] = self.figures.get(key, 0) + amount

    def add_value(self, indicator, record, value, places):
        """Different values count once a place of origin, as far up as any record brings them."""
        if value is None:
            return
        value = value.of() if isinstance(value, Masked) else json.dumps(value)
        key = (record["place"], indicator.id, value)
        if len(places) > len(self.values.get(key, [])):
            self.values[key] = places

    def finish(self):
        figures = dict(self.figures)
        for (_, indicator, _), places in self.values.items():
            for key in ((place, indicator, "") for place in places):
                figures[key] = figures.get(key, 0) + 1
        return {key: value for key, value in figures.items() if value}


# --- Comparing --------------------------------------------------------------------------------------------


def recompute(header, lines, folder):
    """`lines()` gives the lines after the first one, three times. Gives the catalogue's indicators, the figures
    of the program, and the own ones."""
    ledgers = read_catalogue(folder, header["parts"])
    tree = Tree(header["tree"])
    facts, told, places = Facts(tree, ledgers, header["place"]), {}, set()
    for line in lines():
        if "record" in line:
            facts.note(line)
            continue
        places.add(line["place"])
        for indicator, periods in line["figures"].items():
            for period, value in periods.items():
                told[line["place"], indicator, period] = value
    if places != set(tree.names):
        raise Unknown("the dump has not the figures of every place")
    sums = Sums(facts, header["as_of"])
    for line in lines():
        if "record" in line:
            sums.add(line)
    standing = sums.finish()
    for line in lines():
        if "record" in line:
            sums.add(line, standing)
    indicators = [one.id for ledger in ledgers.values() for one in ledger.indicators]
    return indicators, told, sums.finish()


def report(header, indicators, told, own):
    """Prints what differs, or the summary; gives the exit code."""
    names = {place["id"]: place["name"] for place in header["tree"]}
    keys = told.keys() | own.keys()
    differ = sorted(key for key in keys if told.get(key, 0) != own.get(key, 0))
    if differ:
        print(f"{'indicator':<24} {'period':<8} {'program':>16} {'recomputed':>16}  place")
    for place, indicator, period in differ[:DIFFERENCES_SHOWN]:
        one, two = (found.get((place, indicator, period), 0) for found in (told, own))
        print(f"{indicator:<24} {period or '-':<8} {one:>16} {two:>16}  {names.get(place, '')} {place}")
    if differ:
        print(f"{len(differ)} of {len(keys)} figures differ")
        return 1
    shown = {indicator for _, indicator, _ in own}
    print(
        f"{len(indicators)} indicators at {len(names)} places: {len(own)} figures are equal, "
        f"{len(shown)} indicators are not zero somewhere"
    )
    never = [id for id in indicators if id not in shown]
    if never:
        print(f"never other than zero, so not proven ({len(never)}): {', '.join(never)}")
    return 0


def run(path, folder):
    def lines():
        with open(path, encoding="utf-8") as file:
            next(file)
            yield from map(json.loads, file)

    with open(path, encoding="utf-8") as file:
        header = json.loads(next(file))
    return report(header, *recompute(header, lines, folder))


# --- The script proves itself -----------------------------------------------------------------------------

CASES = [
    ("1 + 2 * 3 - 4 / 2 % 2", 7),
    ("-7 / 2", -3),
    ("-7 % 2", -1),
    ("1 / 0", Failed),
    ("9223372036854775807 + 1", Failed),
    ("!(a == 1) || b in ['x', 'y']", True),
    ("a != null && a < 3", True),
    ("none < 3", Failed),
    ("none < 3 || true", True),
    ("none < 3 && false", False),
    ("none < 3 && true", Failed),
    ("true == 1", False),
    ("none != ''", True),
    ("'it\\'s' == \"it's\"", True),
    ("a > 1 ? 'more' : 'less'", "less"),
    ("a in none", Failed),
    ("rows.filter(r, r.n > 1)[0].n", 2),
    ("rows.filter(r, r.n > 9)[0].n", Failed),
    ("rows.map(r, r.n).sum()", 3),
    ("rows.map(r, r.n).sum() + rows.size()", 6),
    ("rows.exists(r, r.n > 1)", True),
    ("rows.all(r, r.n > 1)", False),
    ("broken.all(r, r.n > 0)", Failed),
    ("broken.all(r, r.n > 1)", False),
    ("broken.exists(r, r.n > 1)", Failed),
    ("broken.exists(r, r.n > 0)", True),
    ("broken.filter(r, r.n > 0)", Failed),
    ("rows.exists_one(r, r.n == 1)", True),
    ("[1, 2, 2].distinct().size()", 2),
    ("[true, a == 1].filter(x, x == true).size() == 2", True),
    ("days('2018-02-27', '2018-03-01') == 2 && '2018-03-01'.days('2018-02-27') == -2", True),
    ("days('2018-02-30', '2018-03-01')", Failed),
    ("age('1953-04-09', '2018-04-09') == 65 && age('1953-04-10', '2018-04-09') == 64", True),
    ("'2018-01-31'.plus_months(1) + 'x'", Failed),
    ("'2018-01-31'.plus_months(1) == '2018-02-28' && '2018-01-31'.plus_days(1) == '2018-02-01'", True),
    ("[].workday('2018-06-15', 1)", "2018-06-18"),
    ("workdays([], '2018-06-15', '2018-06-18')", 1),
    ("[].workdays('2018-06-29', '2018-06-17') == -10 && [].workdays('2018-06-15', '2018-06-17') == 0", True),
    ("turned.workdays('2018-06-15', '2018-06-19')", 1),
    ("band('0=1,300000=2', 299999) == 1 && band('0=1,300000=2', 300000) == 2", True),
    ("band('5=1', 4)", 0),
    ("string(2018)", "2018"),
    ("id_ok('11010519491231002X') && !id_ok('110105194912310020')", True),
    ("id_birth('11010519491231002X')", "1949-12-31"),
    ("id_birth(number)", "1953-04-09"),
    ("number == null", False),
    ("number == 'x'", Unknown),
    ("missing == 1", Unknown),
]

SAMPLE_PART = """
[part]
name = "sample"
version = 1

[ledger.help]
identity = "who"
business_date = "on"
field = [
  { id = "who", kind = "id_no" },
  { id = "of", kind = "ref:help" },
  { id = "on", kind = "date" },
  { id = "unit", kind = "enum:unit" },
  { id = "paid", kind = "log", columns = [{ id = "at", kind = "month" }, { id = "fen", kind = "money" }] },
]
indicator = [
  { id = "all", where = "true" },
  { id = "late", where = "'R-1' in failed" },
  { id = "began", where = "true", period = "on" },
  { id = "units", where = "true", distinct = "unit" },
  { id = "told", where = "true", step = "told" },
  { id = "told_again", where = "true", step = "told", from = ["told"] },
  { id = "money", where = "line.fen != null", lines = "paid", line = "at", sum = "fen" },
  { id = "left", where = "'told' in before", step = "_left" },
  { id = "left_late", where = "'R-1' in failed && !('told' in before)", step = "_left" },
  { id = "came", where = "step.date == '2018-06' && before.size() == 3", step = "_came" },
  { id = "never", where = "state == 'nowhere'" },
  { id = "told_days", where = "on != null", step = "told", sum = "days.workdays(on, step.date)" },
  { id = "favoured", where = "report_year == 2018 && unit in p.units" },
  { id = "crowded", where = "f.all >= 4 && on != null", figures = ["all"] },
]
rule = [{ id = "R-1", uses = { days = { ledger = "days", path = true } } }]

[ledger.help.workflow]
initial = "new"

[ledger.days]
field = [{ id = "date", kind = "date" }, { id = "is_workday", kind = "bool" }]
"""


def sample():
    """Two villages of one town. Figures are counted by hand."""

    def place(id, parent, level):
        return {"id": id, "parent": parent, "level": level, "name": id}

    def record(id, place, lamport, **more):
        plain = {
            "record": id, "place": place, "kind": "ledger", "ledger": "help", "lamport": lamport,
            "created": 0, "void": False, "moved": None, "came": None, "carried": 0, "fields": {},
            "sets": {}, "logs": {}, "state": "new", "steps": [], "superseded": [],
            "needs_recheck": False, "created_level": "village", "failed": [], "unchecked": [],
        }
        return {**plain, **more}

    def number(of):
        return {"masked": of, "birth": None}

    told = {"to": "told", "level": "village", "date": "2018-05-02", "time": 0}
    moved = {"date": "2018-06-10", "along": False}
    line = {"level": "village", "carried": True, "columns": {"at": "2018-04", "fen": 250}}
    june = {"level": "village", "carried": False, "columns": {"at": "2018-06", "fen": 30}}
    late = {"level": "village", "carried": False, "columns": {"at": "2018-03", "fen": 4}}
    told_june = {**told, "date": "2018-06-05"}
    header = {
        "catalogue": "", "parts": {"sample": 1}, "as_of": "2018-06-01", "place": "city",
        "tree": [place("city", None, "city"), place("a", "city", "village"), place("b", "city", "village")],
    }
    lines = [
        record("r1", "a", 1, fields={"who": number(1), "on": "2018-05-09", "unit": "x"}, failed=["R-1"],
               params={"units": ["x", "y"]}),
        # The same person in the other village: counts there, not at the city.
        record("r2", "b", 2, fields={"who": number(1), "unit": "x"}, logs={"paid": [line, line]}),
        record("r3", "b", 3, fields={"who": number(2), "unit": "x"}, steps=[told, {**told, "date": ""}]),
        record("r4", "a", 4, void=True),
        # It moved in June: what happened in May counts where it was, the step and the payment of June where
        # it is; and so does what is written there of March, but in June.
        record("r5", "a", 5, moved=moved, steps=[told, told_june], logs={"paid": [june, line]}),
        record(
            "r7", "b", 7, came="2018-06-10", carried=2,
            steps=[told, told_june, {**told, "date": "2018-03-01"}], logs={"paid": [june, line, late]},
        ),
        # Told in the month of the move only: it left and came untold, and had failed a rule before.
        record("r10", "a", 10, moved=moved, steps=[told_june], fields={"on": "2018-05-31"}, failed=["R-1"]),
        # Of the month of the move: it never was at the old place, neither by its day nor by its creation.
        record("r11", "a", 11, moved=moved, fields={"on": "2018-06-01"}, failed=["R-1"]),
        record("r12", "a", 12, moved=moved, created=1527782400000, failed=["R-1"]),
        # Left behind by the move: counts nowhere. What went along leaves nothing behind.
        record("r6", "a", 6, fields={"of": "r5"}),
        record("r8", "a", 8, moved={**moved, "along": True}),
        record("r9", "a", 9, fields={"of": "r8"}),
        # Monday the 18th was a holiday: one working day from Friday the 15th to Tuesday.
        record("r13", "b", 13, fields={"on": "2018-06-15"}, steps=[{**told, "date": "2018-06-19"}]),
        record(
            "d1", "city", 14, kind="directive", ledger="days",
            fields={"date": "2018-06-18", "is_workday": False},
        ),
        {"place": "a", "figures": {
            "all": {"": 2}, "late": {"": 1}, "began": {"2018-05": 2, "": 1}, "units": {"": 1},
            "told": {"2018-05": 1}, "money": {"2018-04": 250}, "left": {"2018-06": 1},
            "left_late": {"2018-06": 1}, "favoured": {"": 1}}},
        {"place": "b", "figures": {
            "all": {"": 4}, "began": {"2018-06": 1, "": 3}, "units": {"": 1},
            "told": {"2018-05": 1, "2018-06": 3, "1970-01": 1}, "told_days": {"2018-06": 1},
            "crowded": {"": 1},
            "told_again": {"2018-06": 2, "1970-01": 1}, "money": {"2018-04": 500, "2018-06": 34},
            "came": {"2018-06": 1}}},
        {"place": "city", "figures": {
            "all": {"": 5}, "late": {"": 1}, "began": {"2018-05": 2, "2018-06": 1, "": 3},
            "units": {"": 2}, "favoured": {"": 1}, "told_days": {"2018-06": 1}, "crowded": {"": 1},
            "told": {"2018-05": 2, "2018-06": 3, "1970-01": 1},
            "told_again": {"2018-06": 2, "1970-01": 1}, "money": {"2018-04": 250, "2018-06": 34},
            "left": {"2018-06": 1}, "left_late": {"2018-06": 1}, "came": {"2018-06": 1}}},
    ]
    return header, lines


def expect(condition, what):
    if not condition:
        raise SystemExit(f"the self-test fails: {what}")


def test_expressions():
    names = {
        "a": 1, "b": "x", "none": None, "number": Masked(3, "1953-04-09"),
        "rows": [{"n": 1}, {"n": 2}, {"n": 0}], "broken": [{}, {"n": 1}],
        "turned": [{"date": "2018-06-18", "is_workday": False}, {"date": None, "is_workday": True}],
    }
    for source, wanted in CASES:
        try:
            found = Parser(source).parse()(names)
        except (Failed, Unknown) as failed:
            found = type(failed)
        expect(found == wanted and type(found) is type(wanted), f"{source} gives {found}")
    for source in ["1 +", "f(1)", "a b", "#", "rows.map(1, 2)"]:
        try:
            Parser(source).parse()
        except Unknown:
            continue
        expect(False, f"{source} is read")


def differences(header, lines, folder):
    _, told, own = recompute(header, lambda: copy.deepcopy(lines), folder)
    return sorted(key for key in told.keys() | own.keys() if told.get(key, 0) != own.get(key, 0))


def test_sums(folder):
    header, lines = sample()
    with open(os.path.join(folder, "sample.toml"), "w", encoding="utf-8") as file:
        file.write(SAMPLE_PART)
    found = differences(header, lines, folder)
    expect(not found, f"the sample differs at {found}")
    told_by_hand = {key for line in lines if "figures" in line for key in line["figures"]}
    expect("never" not in told_by_hand and len(told_by_hand) == 13, "an indicator is not in the sample")
    # Whatever is changed in the program's figures is seen.
    for line in (line for line in lines if "figures" in line):
        for indicator, periods in line["figures"].items():
            for period in periods:
                periods[period] += 1
                wrong = differences(header, lines, folder)
                expect(wrong == [(line["place"], indicator, period)], f"{indicator} of {line['place']}")
                periods[period] -= 1
    # A person decides that the two are not one: then the second counts at the city too.
    decision = {
        **lines[0], "record": "s1", "ledger": "sys_same", "place": "city", "lamport": 9,
        "fields": {"one": "a/r1", "other": "b/r2", "same": False},
    }
    wrong = differences(header, [decision] + lines, folder)
    expect(("city", "all", "") in wrong and ("city", "money", "2018-04") in wrong, "the decision")
    again = {**decision, "record": "s2", "lamport": 10, "fields": {**decision["fields"], "same": True}}
    expect(not differences(header, [decision, again] + lines, folder), "the latest decision holds")


def self_test(folder):
    import tempfile

    test_expressions()
    with tempfile.TemporaryDirectory() as own:
        test_sums(own)
    # Everything that the catalogue says can be read.
    ledgers, parts = {}, 0
    if os.path.isdir(folder):
        raws = {}
        for name in os.listdir(folder):
            if name.endswith(".toml"):
                with open(os.path.join(folder, name), "rb") as file:
                    part = tomllib.load(file)["part"]
                raws[part["name"]] = part["version"]
        ledgers, parts = read_catalogue(folder, raws), len(raws)
    count = sum(len(ledger.indicators) for ledger in ledgers.values())
    print(f"self-test: {len(CASES)} expressions, a sample, {count} indicators of {parts} parts are read")
    return 0


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    catalogue = os.path.join(here, "..", "core", "catalogue")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dump", nargs="?", help="file written by `figures --dump`")
    parser.add_argument("--catalogue", default=catalogue, help="folder of the catalogue's parts")
    parser.add_argument("--self-test", action="store_true", help="prove this script")
    asked = parser.parse_args()
    if tomllib is None:
        print("Python 3.11 or newer is needed", file=sys.stderr)
        return 2
    if not asked.self_test and asked.dump is None:
        parser.error("name a dump, or --self-test")
    try:
        return self_test(asked.catalogue) if asked.self_test else run(asked.dump, asked.catalogue)
    except (OSError, Unknown, ValueError, KeyError, StopIteration) as error:
        print(f"cannot be compared: {type(error).__name__}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
