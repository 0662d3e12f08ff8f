#!/usr/bin/env python3
"""Turns a model template into Promela for Spin: replicas and pairs unrolled, parts chosen, rules left out.

usage: generate.py TEMPLATE [--with PART,...] [--without RULE,...] [--rules Rules.swift]

Replicas are unrolled because Spin packs scalars into bits and not arrays: it halves the memory. A template is Promela
with these additions:

  @each i          the lines up to @end once for each replica; with "i j" for each ordered pair, and so on
  @each i j in 1 2 the same, for the numbers that are listed alone
  @if part         the lines up to @end only where the part is chosen; "@if !part" where it is not
  name[i,j]        the variable of that replica or pair; $i is its number
  all q { e }      e for every replica q, "any q { e }" for one, "count q { e }" for how many; "others" and "another"
                   are all and any but for the replica that was bound first, "for q { s }" a statement for each of those
  rule(name)       1, or 0 where the rule is left out; "rule(name.part)" where only a part of it can be

A rule is named as in `enum Rule` of the code. `unswitched` are those that it has no case for.
"""
import argparse
import re
import sys
from itertools import permutations

REPLICAS = range(3)
# Rules that the models check and that `enum Rule` has not.
unswitched = {"durablePromise", "equal", "hold", "recognition"}


class Template:
    def __init__(self, lines, parts, without):
        self.lines, self.parts, self.without = lines, parts, without
        self.rules, self.partsNamed = set(), set()

    def expand(self, lines, bound):
        """The lines with the given variables bound, blocks unrolled."""
        out, at = [], 0
        while at < len(lines):
            line = lines[at].strip()
            if line.startswith(("@each ", "@if ")):
                end = self.end_of(lines, at)
                out += self.block(line, lines[at + 1:end], bound)
                at = end
            else:
                out.append(self.text(lines[at], bound))
            at += 1
        return out

    def end_of(self, lines, start):
        depth = 0
        for at in range(start, len(lines)):
            word = lines[at].strip()
            depth += word.startswith(("@each ", "@if ")) - (word == "@end")
            if depth == 0:
                return at
        sys.exit(f"no @end for: {lines[start]}")

    def block(self, head, body, bound):
        words = head.split()
        if words[0] == "@if":
            part = words[1].lstrip("!")
            self.partsNamed.add(part)
            return self.expand(body, bound) if (part in self.parts) != words[1].startswith("!") else []
        out = []
        if "in" in words:
            names, numbers = words[1:words.index("in")], words[words.index("in") + 1:]
            for chosen in permutations(map(int, numbers), len(names)):
                out += self.expand(body, {**bound, **dict(zip(names, chosen))})
            return out
        # A variable that is bound already keeps its replica; the new ones are other replicas.
        names = words[1:]
        free = [name for name in names if name not in bound]
        taken = [bound[name] for name in names if name in bound]
        for chosen in permutations([r for r in REPLICAS if r not in taken], len(free)):
            out += self.expand(body, {**bound, **dict(zip(free, chosen))})
        return out

    def text(self, line, bound):
        while found := re.search(r"\b(all|others|any|another|count|for) (\w+) \{", line):
            close = self.closing(line, found.end() - 1)
            kind, name, inner = found[1], found[2], line[found.end():close]
            skipped = [next(iter(bound.values()))] if kind in ("others", "another", "for") else []
            terms = [self.text(inner, {**bound, name: r}).strip() for r in REPLICAS if r not in skipped]
            if kind == "for":
                made = "; ".join(terms)
            else:
                joint = {"all": " && ", "others": " && ", "any": " || ", "another": " || ", "count": " + "}[kind]
                made = f"({joint.join(f'({term})' for term in terms)})"
            line = line[:found.start()] + made + line[close + 1:]
        line = re.sub(r"\brule\(([\w.]+)\)", lambda m: self.rule(m[1]), line)
        for name, number in bound.items():
            line = line.replace(f"${name}", str(number))
        return re.sub(r"\[([\w,]+)\]", lambda m: self.index(m, bound), line)

    @staticmethod
    def closing(line, opening):
        depth = 0
        for at in range(opening, len(line)):
            depth += (line[at] == "{") - (line[at] == "}")
            if depth == 0:
                return at
        sys.exit(f"no closing brace: {line}")

    @staticmethod
    def index(match, bound):
        names = match[1].split(",")
        # Where a variable is not bound yet, an outer expansion is still to come.
        if any(not name.isdigit() and name not in bound for name in names):
            return match[0]
        return "".join(f"_{bound.get(name, name)}" for name in names)

    def rule(self, name):
        self.rules.add(name)
        return "0" if name in self.without or name.split(".")[0] in self.without else "1"


def rules_of_code(path):
    return set(re.findall(r"^  case (\w+)$", open(path).read(), re.MULTILINE))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("template")
    parser.add_argument("--with", dest="parts", default="")
    parser.add_argument("--without", default="")
    parser.add_argument("--rules", help="the file with enum Rule: what is not there is no rule")
    arguments = parser.parse_args()
    parts = set(filter(None, arguments.parts.split(",")))
    without = set(filter(None, arguments.without.split(",")))
    template = Template(open(arguments.template).read().split("\n"), parts, without)
    text = "\n".join(template.expand(template.lines, {}))
    unknown = {name for name in without if name not in template.rules | {r.split(".")[0] for r in template.rules}}
    if unknown or parts - template.partsNamed:
        sys.exit(f"{arguments.template} has no {sorted(unknown | (parts - template.partsNamed))}")
    if arguments.rules:
        strange = {name.split(".")[0] for name in template.rules} - rules_of_code(arguments.rules) - unswitched
        if strange:
            sys.exit(f"{arguments.template} names rules that {arguments.rules} does not have: {sorted(strange)}")
    print(text)


if __name__ == "__main__":
    main()
