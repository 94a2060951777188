import { describe, expect, it } from "vitest";
import { parseTemplate } from "./template.ts";

/** "v1/*" for readable tables. */
function shape(text: string): string {
  const { segments, variables, verb } = parseTemplate(text);
  const path = segments.map((s) => (s.kind === "literal" ? s.text : s.kind === "one" ? "*" : "**")).join("/");
  const bound = variables.map((v) => `${v.fieldPath.join(".")}=${v.start}..${v.end}${v.multi ? "+" : ""}`);
  return [path, ...bound, verb === "" ? "" : `:${verb}`].filter((part) => part !== "").join(" ");
}

describe("a path template", () => {
  it.each([
    ["/v1", "v1"],
    ["/v1/qpr-codes", "v1/qpr-codes"],
    ["/v1/*", "v1/*"],
    ["/v1/**", "v1/**"],
    ["/v1/things/{thing_id}", "v1/things/* thing_id=2..3"],
    ["/v1/{a}/x/{b.c}", "v1/*/x/* a=1..2 b.c=3..4"],
    ["/v1/{name=things/*}", "v1/things/* name=1..3+"],
    ["/v1/{name=things/*/parts/*}:move", "v1/things/*/parts/* name=1..5+ :move"],
    ["/v1/{rest=**}", "v1/** rest=1..-1+"],
    ["/v1/{rest=files/**}:get", "v1/files/** rest=1..-1+ :get"],
    ["/v1/{id=*}", "v1/* id=1..2"],
    ["/v1/{id=fixed}", "v1/fixed id=1..2"],
    ["/v1/keys/{id}:rotate-secret", "v1/keys/* id=2..3 :rotate-secret"],
    ["/v1/things:watch", "v1/things :watch"],
    ["/v1/caf%C3%A9", "v1/café"],
    ["/s/{id}.png", undefined],
  ])("%s", (text, expected) => {
    if (expected === undefined) expect(() => shape(text)).toThrow("column");
    else expect(shape(text)).toBe(expected);
  });

  it.each([
    ["", 1, 'expected "/", found the end'],
    ["v1", 1, 'expected "/", found "v"'],
    ["/", 2, 'expected a segment ("*", "**", a literal or a variable), found the end'],
    ["/v1/", 5, "expected a segment"],
    ["/v1//x", 5, 'found "/"'],
    ["/v1/{}", 6, 'expected a field name, found "}"'],
    ["/v1/{1a}", 6, "expected a field name"],
    ["/v1/{a", 7, 'expected "}", found the end'],
    ["/v1/{a.}", 8, "expected a field name"],
    ["/v1/{a=}", 8, "expected a segment"],
    ["/v1/{a={b}}", 8, "variables do not nest"],
    ["/v1/{a}/{a}", 10, '"a" is bound already'],
    ["/v1/**/x", 8, '"**" must be the last segment'],
    ["/v1/{a=**}/x", 12, '"**" must be the last segment'],
    ["/v1/***", 7, 'expected one of "/", ":" or the end'],
    ["/v1/x:", 7, "expected a verb, found the end"],
    ["/v1/x:a:b", 8, 'expected one of "/", ":" or the end'],
    ["/v1/x:a/b", 8, 'expected one of "/", ":" or the end'],
    ["/v1/a b", 6, 'found " "'],
    ["/v1/%zz", 5, "expected a segment"],
    ["/v1/%ff", 5, "expected percent-encoded UTF-8"],
    ["/v1/x?y", 6, 'found "?"'],
  ])("%j is refused at column %i: %s", (text, column, message) => {
    expect(() => parseTemplate(text)).toThrow(`"${text}", column ${column}: `);
    expect(() => parseTemplate(text)).toThrow(message);
  });
});
