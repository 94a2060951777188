/** Where a text stops being JSON: line and column from 1. */
export interface Position {
  line: number;
  column: number;
}

// One token of JSON, after blanks: a string, a number, a word or a sign.
const TOKEN =
  /[ \t\n\r]*(?:("(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)|([[\]{}:,]))/y;
const BLANKS = /[ \t\n\r]*/y;

/** The most tokens that are looked at: the position is a courtesy, and a hostile body may have millions of them. */
const MAX_TOKENS = 250_000;

type Expect = "value" | "valueOrEnd" | "key" | "keyOrEnd" | "colon" | "commaOrEnd" | "end";

/**
 * Finds the first character that cannot stand where it stands, or the place up to which it has looked. For texts that
 * JSON.parse has refused.
 */
export function jsonFaultAt(text: string): Position {
  const open: ("[" | "{")[] = [];
  let expect: Expect = "value";
  let at = 0;
  for (let tokens = 0; tokens < MAX_TOKENS; tokens++) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    const next: Expect | undefined = match === null ? undefined : step(expect, match, open);
    if (match === null || next === undefined) return position(text, skipBlanks(text, at));
    expect = next;
    at = TOKEN.lastIndex;
  }
  return position(text, at);
}

/** What may follow a token, or undefined when the token itself may not stand here. */
function step(expect: Expect, [, string, scalar, sign]: RegExpExecArray, open: ("[" | "{")[]): Expect | undefined {
  const after = (): Expect => (open.length === 0 ? "end" : "commaOrEnd");
  if (string !== undefined && (expect === "key" || expect === "keyOrEnd")) return "colon";
  if (expect === "value" || expect === "valueOrEnd") {
    if (string !== undefined || scalar !== undefined) return after();
    if (sign === "[" || sign === "{") {
      open.push(sign);
      return sign === "[" ? "valueOrEnd" : "keyOrEnd";
    }
  }
  if (sign === ":" && expect === "colon") return "value";
  if (sign === "," && expect === "commaOrEnd") return open.at(-1) === "[" ? "value" : "key";
  const closes = sign === "]" ? "[" : sign === "}" ? "{" : undefined;
  const mayClose = expect === "commaOrEnd" || expect === "valueOrEnd" || expect === "keyOrEnd";
  if (closes === undefined || !mayClose || open.at(-1) !== closes) return undefined;
  open.pop();
  return after();
}

function skipBlanks(text: string, at: number): number {
  BLANKS.lastIndex = at;
  return at + (BLANKS.exec(text)?.[0].length ?? 0);
}

function position(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  return { line, column: offset - before.lastIndexOf("\n") };
}
