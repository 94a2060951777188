import { describe, expect, it } from "vitest";
import { createRouter, type Target } from "./router.ts";
import { parseTemplate } from "./template.ts";

function target(rule: string): Target {
  const [method = "", path = ""] = rule.split(" ");
  return { method, template: parseTemplate(path), label: rule };
}

function routerOf(...rules: string[]) {
  const problems: string[] = [];
  return { ...createRouter(rules.map(target), problems), problems };
}

const router = routerOf(
  "GET /v1/things",
  "POST /v1/things",
  "GET /v1/things/{id}",
  "PATCH /v1/things/{id}",
  "GET /v1/things/attributes",
  "GET /v1/things:watch",
  "POST /v1/things/{id}:rotate",
  "GET /v1/things/{id}/parts/{part}",
  "GET /v1/things/thread/{token}",
  "POST /v1/things/{id}/contact",
  "GET /v1/{name=shelves/*/things/*}",
  "GET /files/{path=**}",
  "POST /files/{path=**}:scan",
  "HEAD /any",
  "* /every",
);

/** "rule [params]", "405 methods" or "404". */
function ask(method: string, path: string): string {
  const found = router.match(method, path);
  if (found.kind === "route") return `${found.target.label} ${JSON.stringify(found.params)}`;
  return found.kind === "method" ? `405 ${found.allowed.join(",")}` : "404";
}

describe("a router", () => {
  it.each([
    ["GET /v1/things", "GET /v1/things []"],
    ["GET /v1/things/a", 'GET /v1/things/{id} ["a"]'],
    ["GET /v1/things/attributes", "GET /v1/things/attributes []"],
    ["PATCH /v1/things/attributes", 'PATCH /v1/things/{id} ["attributes"]'],
    ["GET /v1/things:watch", "GET /v1/things:watch []"],
    ["POST /v1/things/a:rotate", 'POST /v1/things/{id}:rotate ["a"]'],
    ["POST /v1/things/a:b:rotate", 'POST /v1/things/{id}:rotate ["a:b"]'],
    ["GET /v1/things/a:b", 'GET /v1/things/{id} ["a:b"]'],
    ["GET /v1/things/a:rotate", 'GET /v1/things/{id} ["a:rotate"]'],
    ["GET /v1/things/a:", 'GET /v1/things/{id} ["a:"]'],
    ["GET /v1/things/a/parts/b", 'GET /v1/things/{id}/parts/{part} ["a","b"]'],
    ["GET /v1/things/thread/t", 'GET /v1/things/thread/{token} ["t"]'],
    ["POST /v1/things/thread/contact", 'POST /v1/things/{id}/contact ["thread"]'],
    ["GET /v1/shelves/s%2F1/things/t%201", 'GET /v1/{name=shelves/*/things/*} ["shelves/s%2F1/things/t 1"]'],
    ["GET /v1/shelves/s/things/%e2%82%ac%2f", 'GET /v1/{name=shelves/*/things/*} ["shelves/s/things/€%2f"]'],
    ["GET /files", 'GET /files/{path=**} [""]'],
    ["GET /files/", 'GET /files/{path=**} [""]'],
    ["GET /files/a/b//c", 'GET /files/{path=**} ["a/b//c"]'],
    ["POST /files/a/b:scan", 'POST /files/{path=**}:scan ["a/b"]'],
    ["GET /v1/things/a%2Fb%20%C3%A9", 'GET /v1/things/{id} ["a/b é"]'],
    ["GET /v1/th%69ngs/x", 'GET /v1/things/{id} ["x"]'],
    ["PURGE /every", "* /every []"],
    ["DELETE /v1/things", "405 GET,POST"],
    ["DELETE /v1/things/a", "405 GET,PATCH"],
    ["DELETE /v1/things/attributes", "405 GET,PATCH"],
    ["GET /any", "405 HEAD"],
    ["DELETE /v1/things/a:rotate", "405 GET,PATCH,POST"],
    ["GET /v1", "404"],
    ["GET /v1/things/", "404"],
    ["GET /v1//things", "404"],
    ["GET /v1/things/a/", "404"],
    ["GET /v1/things/%zz", "404"],
    ["GET /v1/things/%ff", "404"],
    ["GET v1/things", "404"],
    ["GET ", "404"],
    ["GET /__proto__/constructor", "404"],
  ])("%s → %s", (asked, expected) => {
    const [method = "", path = ""] = asked.split(" ");
    expect(ask(method, path)).toBe(expected);
  });

  it("has no problem with these rules", () => expect(router.problems).toEqual([]));

  it.each([
    [["GET /a/{x}", "GET /a/{y}"], "GET /a/{y} and GET /a/{x} both take GET /a/*"],
    [["GET /a/{x=*}:v", "GET /a/{y}:v"], "GET /a/{y}:v and GET /a/{x=*}:v both take GET /a/*:v"],
    [["GET /{n=a/*}", "GET /a/{y}"], "GET /a/{y} and GET /{n=a/*} both take GET /a/*"],
    [["GET /a/{x=**}", "GET /a/**"], "GET /a/** and GET /a/{x=**} both take GET /a/**"],
  ])("refuses %j, naming both", (rules, problem) => {
    expect(routerOf(...rules).problems).toEqual([problem]);
  });

  it.each([
    [["GET /a/{x}", "POST /a/{x}"]],
    [["GET /a/{x}", "GET /a/b"]],
    [["GET /a/{x}", "GET /a/{x}:v"]],
    [["GET /a/{x}", "GET /a/{x=**}"]],
  ])("takes %j side by side", (rules) => {
    expect(routerOf(...rules).problems).toEqual([]);
  });
});
