import { describe, expect, it } from "vitest";
import type { Principal } from "#runtime/context.ts";
import { reasonOf } from "#runtime/failure.ts";
import { checkAbove, checkScopes } from "./rules.ts";
import { SCOPES } from "./scopes.ts";

/** The reason of what `work` throws, with its facts; "passes" when it does not throw. */
function outcome(work: () => unknown): string {
  try {
    work();
    return "passes";
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    return [reason.reason, reason.metadata.field].filter((part) => part !== undefined).join(" ");
  }
}

const caller = (scopes: string[], test = false): Principal => ({
  workspace: "acme",
  keyId: "key_1",
  keyName: "",
  keyClass: test ? "development" : "production",
  scopes,
  test,
});
const admin = caller(["admin"]);
const all = Object.keys(SCOPES);
const ordinary = all.filter((scope) => scope !== "admin");

const CAN_HOLD: Record<string, string[]> = {
  admin: all,
  development: ordinary,
  production: ordinary,
  analytics: ["analytics:read", "visitors:read", "exports:read", "exports:write", "scans:read", "codes:read"],
  publishable: ["scans:write", "impressions:write", "touchpoints:write"],
};

describe("scopes", () => {
  it("are those of the contract, each with a sentence", () => {
    const resources =
      "codes scans impressions tags emergency touchpoints analytics visitors exports webhooks keys privacy".split(" ");
    const expected = resources.flatMap((name) => [`${name}:read`, `${name}:write`]);
    expect(all.sort()).toEqual([...expected, "audit:read", "ledger:read", "admin"].sort());
    for (const sentence of Object.values(SCOPES)) expect(sentence).toMatch(/^[A-Z].+\.$/);
  });

  it.each(Object.entries(CAN_HOLD))("class %s can be given these by an admin and no others", (ofClass, can) => {
    const given = all.filter(
      (scope) => outcome(() => checkScopes({ class: ofClass, scopes: [scope] }, admin)) === "passes",
    );
    expect(given.sort()).toEqual([...can].sort());
  });

  it.each(all)("%s can be granted by who holds it and by nobody else", (scope) => {
    if (scope === "admin") return;
    const grant = (holds: string[]) =>
      outcome(() => checkScopes({ class: "production", scopes: [scope] }, caller(holds)));
    expect(grant([scope])).toBe("passes");
    expect(grant(ordinary.filter((other) => other !== scope))).toBe("SCOPE_NOT_HELD");
  });

  it.each<[string, string, string[], Principal, string]>([
    ["an unknown one", "production", ["codes:read", "codes:delete"], admin, "SCOPE_UNKNOWN scopes[1]"],
    ["a name that every object has", "production", ["toString"], admin, "SCOPE_UNKNOWN scopes[0]"],
    [
      "one that the class cannot hold",
      "analytics",
      ["scans:read", "scans:write"],
      admin,
      "SCOPE_NOT_IN_CLASS scopes[1]",
    ],
    ["admin outside its class", "production", ["admin"], admin, "SCOPE_NOT_IN_CLASS scopes[0]"],
    ["an admin key by a production key", "admin", ["codes:read"], caller(ordinary), "CLASS_NOT_ALLOWED"],
    ["a production key by a development key", "production", ["codes:read"], caller(ordinary, true), "TEST_KEYS_ONLY"],
    ["an analytics key by a development key", "analytics", ["codes:read"], caller(ordinary, true), "TEST_KEYS_ONLY"],
    ["a development key by a development key", "development", ["codes:read"], caller(ordinary, true), "passes"],
  ])("%s: class %s, scopes %j", (_case, ofClass, scopes, granter, expected) => {
    expect(outcome(() => checkScopes({ class: ofClass, scopes }, granter))).toBe(expected);
  });
});

describe("changing and rotating a key", () => {
  it.each<[string, string, string[], Principal, string]>([
    ["one's equal", "production", ["codes:read", "keys:write"], caller(["codes:read", "keys:write"]), "passes"],
    ["a lesser key", "production", ["codes:read"], caller(["codes:read", "keys:write"]), "passes"],
    ["a key with one scope more", "production", ["codes:read", "tags:read"], caller(["codes:read"]), "KEY_ABOVE"],
    ["an admin key without scopes to speak of", "admin", ["codes:read"], caller(ordinary), "CLASS_NOT_ALLOWED"],
    ["a production key by a development key", "production", [], caller(ordinary, true), "TEST_KEYS_ONLY"],
    ["an admin key by an admin", "admin", ["admin"], admin, "passes"],
    ["any key by an admin", "production", ordinary, admin, "passes"],
  ])("%s", (_case, ofClass, scopes, by, expected) => {
    expect(outcome(() => checkAbove({ id: "key_2", class: ofClass, scopes }, by))).toBe(expected);
  });
});
