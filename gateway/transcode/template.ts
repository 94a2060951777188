/** One step of a path template. */
export type Segment = { kind: "literal"; text: string } | { kind: "one" } | { kind: "rest" };

/** A part of the path that is bound to a request field. */
export interface Variable {
  /** The field, from the request message down, in proto names: ["tag", "id"]. */
  fieldPath: readonly string[];
  /** First segment that it covers. */
  start: number;
  /** Segment after the last that it covers; -1: to the end of the path. */
  end: number;
  /** It may cover more than one segment, so that "%2F" stays as it is in its value. */
  multi: boolean;
}

/** A parsed path template of google.api.http. */
export interface Template {
  segments: readonly Segment[];
  variables: readonly Variable[];
  /** The custom verb after the last colon; empty when there is none. */
  verb: string;
}

/** Where the parser stands. Columns that people see count from 1. */
interface Cursor {
  text: string;
  at: number;
  segments: Segment[];
  variables: Variable[];
}

const IDENTIFIER = /[A-Za-z_][A-Za-z0-9_]*/y;
// RFC 3986 pchar without ":" and "*": "qpr-codes", "%C3%A9".
const LITERAL = /(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+/y;

/**
 * Parses a path template of google.api.http. Throws an Error that tells the column and what was expected there.
 *
 * ```text
 * template  = "/" segments [ ":" LITERAL ] ;
 * segments  = segment { "/" segment } ;
 * segment   = "*" | "**" | LITERAL | variable ;
 * variable  = "{" field_path [ "=" segments ] "}" ;
 * field_path = IDENTIFIER { "." IDENTIFIER } ;
 * ```
 *
 * Variables do not nest, no field is bound twice, and "**" is the last segment of the path.
 */
export function parseTemplate(text: string): Template {
  const cursor: Cursor = { text, at: 0, segments: [], variables: [] };
  take(cursor, "/");
  segments(cursor, false);
  let verb = "";
  if (peek(cursor) === ":") {
    cursor.at++;
    verb = decode(cursor, match(cursor, LITERAL, "a verb"));
  }
  if (cursor.at < text.length) throw expected(cursor, 'one of "/", ":" or the end');
  return { segments: cursor.segments, variables: cursor.variables, verb };
}

function segments(cursor: Cursor, inVariable: boolean): void {
  for (;;) {
    if (cursor.segments.at(-1)?.kind === "rest")
      throw expected(cursor, 'the end, because "**" must be the last segment');
    segment(cursor, inVariable);
    if (peek(cursor) !== "/") return;
    cursor.at++;
  }
}

function segment(cursor: Cursor, inVariable: boolean): void {
  const next = peek(cursor);
  if (next === "*") {
    cursor.at++;
    const rest = peek(cursor) === "*";
    if (rest) cursor.at++;
    cursor.segments.push({ kind: rest ? "rest" : "one" });
  } else if (next === "{") {
    if (inVariable) throw expected(cursor, "a segment that is not a variable, because variables do not nest");
    variable(cursor);
  } else {
    const start = cursor.at;
    const word = match(cursor, LITERAL, 'a segment ("*", "**", a literal or a variable)');
    cursor.segments.push({ kind: "literal", text: decode({ ...cursor, at: start }, word) });
  }
}

function variable(cursor: Cursor): void {
  take(cursor, "{");
  const column = cursor.at;
  const fieldPath = [match(cursor, IDENTIFIER, "a field name")];
  while (peek(cursor) === ".") {
    cursor.at++;
    fieldPath.push(match(cursor, IDENTIFIER, "a field name"));
  }
  const name = fieldPath.join(".");
  if (cursor.variables.some((other) => other.fieldPath.join(".") === name)) {
    throw expected({ ...cursor, at: column }, `another field, because "${name}" is bound already`);
  }
  const start = cursor.segments.length;
  if (peek(cursor) === "=") {
    cursor.at++;
    segments(cursor, true);
  } else {
    cursor.segments.push({ kind: "one" });
  }
  take(cursor, "}");
  const rest = cursor.segments.at(-1)?.kind === "rest";
  const end = rest ? -1 : cursor.segments.length;
  cursor.variables.push({ fieldPath, start, end, multi: rest || end - start > 1 });
}

function peek(cursor: Cursor): string {
  return cursor.text.charAt(cursor.at);
}

function take(cursor: Cursor, character: string): void {
  if (peek(cursor) !== character) throw expected(cursor, JSON.stringify(character));
  cursor.at++;
}

function match(cursor: Cursor, pattern: RegExp, what: string): string {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0];
  if (found === undefined) throw expected(cursor, what);
  cursor.at += found.length;
  return found;
}

function decode(cursor: Cursor, word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    throw expected(cursor, "percent-encoded UTF-8");
  }
}

function expected(cursor: Cursor, what: string): Error {
  const found = cursor.at < cursor.text.length ? JSON.stringify(peek(cursor)) : "the end";
  return new Error(`path template "${cursor.text}", column ${cursor.at + 1}: expected ${what}, found ${found}`);
}
