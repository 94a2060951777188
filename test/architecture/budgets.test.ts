import { stripTypeScriptTypes } from "node:module";
import { type Node, parse } from "acorn";
import { full } from "acorn-walk";
import { expect, it } from "vitest";
import { isTest, type Source, sources } from "./source.ts";

const FUNCTION_LINES = 40;
const FILE_LINES = 300;

const all = sources();
const lines = (text: string): number => text.trimEnd().split("\n").length;

it(`no file is longer than ${FILE_LINES} lines`, () => {
  const long = all.filter(({ text }) => lines(text) > FILE_LINES).map(({ path, text }) => `${path}: ${lines(text)}`);
  expect(long).toEqual([]);
});

interface Span {
  from: number;
  to: number;
}

/** The functions of a file as spans of lines. Types are blanked in place, so lines stay where they are. */
function functionsOf({ text }: Source): Span[] {
  const tree = parse(stripTypeScriptTypes(text), { ecmaVersion: "latest", sourceType: "module", locations: true });
  const found: Span[] = [];
  full(tree, (node: Node) => {
    if (!/Function/.test(node.type) || !node.loc) return;
    found.push({ from: node.loc.start.line, to: node.loc.end.line });
  });
  return found;
}

/** Lines of a function without those of the functions inside it: a table of handlers is as long as its seams. */
function ownLines(span: Span, functions: readonly Span[]): number {
  const inner = functions.filter((other) => other !== span && other.from >= span.from && other.to <= span.to);
  let count = 0;
  for (let line = span.from; line <= span.to; line += 1) {
    if (!inner.some(({ from, to }) => line > from && line <= to)) count += 1;
  }
  return count;
}

it(`no function has more than ${FUNCTION_LINES} lines of its own`, () => {
  const product = all.filter(({ path }) => !isTest(path));
  const long = product.flatMap((source) => {
    const functions = functionsOf(source);
    return functions
      .filter((span) => ownLines(span, functions) > FUNCTION_LINES)
      .map((span) => `${source.path}:${span.from} has ${ownLines(span, functions)} lines`);
  });
  expect(long).toEqual([]);
});

it("leaves nothing for later: no open ends, no test that is left out or alone", () => {
  const words = new RegExp(
    ["TO" + "DO", "FIX" + "ME", "(it|test|describe)\\.on" + "ly\\(", "(it|test|describe)\\.sk" + "ip\\("].join("|"),
  );
  expect(all.filter(({ text }) => words.test(text)).map(({ path }) => path)).toEqual([]);
});
