import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Route } from "../../gateway/routes.ts";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { allOperations, expectRefusal, isForAdmins, isPublic, nameOf, pathOf } from "./operations.ts";

/** Every scope that a key of a class can hold, as the documents say; a class that is not here can hold all of them. */
const OF_CLASS = {
  analytics: ["analytics:read", "visitors:read", "exports:read", "exports:write", "scans:read", "codes:read"],
  publishable: ["scans:write", "impressions:write", "touchpoints:write"],
} as const;
const CLASSES = ["production", "development", "analytics", "publishable"] as const;
type KeyClass = (typeof CLASSES)[number];

const ORIGIN = "https://shop.example";

let waymark: Waymark;
let owner: string;
const secrets = new Map<string, string>();
beforeAll(async () => {
  waymark = await startWaymark();
  ({ key: owner } = await waymark.workspace("Classes"));
  const { body } = await waymark.call("GET", "/waymark/v1/scopes", { key: owner });
  const all = body.scopes.map(({ name }: { name: string }) => name).filter((name: string) => name !== "admin");
  for (const ofClass of CLASSES) {
    const scopes = ofClass === "analytics" || ofClass === "publishable" ? OF_CLASS[ofClass] : all;
    secrets.set(ofClass, await makeKey({ class: ofClass, scopes, origins: ofClass === "publishable" ? [ORIGIN] : [] }));
  }
  for (const scope of all) secrets.set(scope, await makeKey({ scopes: [scope] }));
});
afterAll(() => waymark?.stop());

async function makeKey(body: object): Promise<string> {
  const made = await waymark.call("POST", "/waymark/v1/keys", { key: owner, body: { name: "K", ...body } });
  if (made.status !== 201) throw new Error(`the key was not made: ${made.text}`);
  return made.body.secret;
}

/** Calls an operation for objects that are not there, so that a key that may do it changes nothing. */
const send = (operation: Route, name: string) =>
  waymark.call(
    operation.method,
    pathOf(operation, () => "nobody"),
    {
      key: secrets.get(name) as string,
      headers: { origin: ORIGIN },
      body: operation.body === "*" ? {} : undefined,
    },
  );

const keyed = () => allOperations().filter((one) => !isPublic(one) && !isForAdmins(one));
const ofAnalytics = () => keyed().filter(({ dialect }) => dialect.name === "analytics");

function isAllowed({ rules }: Route, ofClass: KeyClass): boolean {
  if (ofClass === "production" || ofClass === "development") return true;
  return rules.scopes.some((scope) => (OF_CLASS[ofClass] as readonly string[]).includes(scope));
}

/** Checks that a call was let through or was refused for want of a scope. */
async function expectStanding(operation: Route, name: string, allowed: boolean): Promise<void> {
  const answer = await send(operation, name);
  const standing = [nameOf(operation), name, answer.status === 403 ? "refused" : "let through"];
  expect(standing).toEqual([nameOf(operation), name, allowed ? "let through" : "refused"]);
  expect([nameOf(operation), answer.status === 401]).toEqual([nameOf(operation), false]);
  if (allowed || operation.dialect.name !== "analytics") return;
  expectRefusal(answer, { operation, status: 403 });
  expect(answer.body.error).toMatchObject({ code: 403, codeType: "PERMISSION_DENIED" });
}

describe("an operation of the Analytics API", () => {
  it("is open to keys of the classes that can have its scope, and to no others", async () => {
    expect(ofAnalytics().length).toBeGreaterThan(50);
    for (const operation of ofAnalytics())
      for (const ofClass of CLASSES) await expectStanding(operation, ofClass, isAllowed(operation, ofClass));
  });

  it("is open to a key with its one scope, and to none with one of the others", async () => {
    const scopes = [...secrets.keys()].filter((name) => name.includes(":"));
    expect(scopes.length).toBeGreaterThan(20);
    for (const operation of ofAnalytics())
      for (const scope of scopes) await expectStanding(operation, scope, operation.rules.scopes.includes(scope));
  });

  it("that changes anything is closed to keys that read analytics, but for exports", async () => {
    const changing = ofAnalytics().filter(({ rules }) => rules.scopes.every((scope) => scope.endsWith(":write")));
    const open = changing.filter((operation) => isAllowed(operation, "analytics"));
    expect(open.map(nameOf).filter((name) => !name.includes("/analytics/v1/exports"))).toEqual([]);
    expect(open.length).toBeGreaterThan(0);
  });
});

it("a publishable key reads nothing, in any of the six APIs", async () => {
  const reading = keyed().filter(({ method, rules }) => method === "GET" || rules.rateClass === "query");
  expect(reading.length).toBeGreaterThan(60);
  for (const operation of reading) await expectStanding(operation, "publishable", false);
});
