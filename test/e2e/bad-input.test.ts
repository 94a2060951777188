import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Route } from "../../gateway/routes.ts";
import { ADMIN_KEY, startWaymark, type Waymark } from "../support/waymark.ts";
import { everything, type Ids, makeOneOfEach } from "./one-of-each.ts";
import {
  allOperations,
  expectRefusal,
  hasVariable,
  isForAdmins,
  isPublic,
  nameOf,
  pathOf,
  wrongBodies,
  wrongQueries,
} from "./operations.ts";

let waymark: Waymark;
let owner: { id: string; key: string };
let ids: Ids;
let operations: readonly Route[];
let stored: Record<string, unknown>;

beforeAll(async () => {
  waymark = await startWaymark();
  owner = await waymark.workspace("Owner");
  ids = await makeOneOfEach(waymark, { key: owner.key, workspace: owner.id });
  operations = allOperations();
  stored = await everything(waymark, owner.key);
});
afterAll(() => waymark?.stop());
afterEach(async () => {
  expect(await everything(waymark, owner.key), "nothing has changed").toStrictEqual(stored);
});

const keyed = () => operations.filter((operation) => !isPublic(operation));
const withBody = () => operations.filter(({ body }) => body === "*");
const keyFor = (operation: Route) => (isForAdmins(operation) && !isPublic(operation) ? ADMIN_KEY : owner.key);
const send = (operation: Route, given: { key?: string; ids?: Ids | (() => string); body?: unknown; query?: string }) =>
  waymark.call(operation.method, `${pathOf(operation, given.ids ?? ids)}${given.query ?? ""}`, {
    key: given.key,
    body: operation.body === "*" ? (given.body ?? {}) : undefined,
  });

it("is tried on every operation of the six APIs", () => {
  expect(new Set(operations.map(({ dialect }) => dialect.name))).toEqual(
    new Set(["scans", "impressions", "tags", "analytics", "touchpoints", "platform"]),
  );
  expect(operations.length).toBeGreaterThan(65);
  for (const operation of operations) expect(pathOf(operation, ids)).not.toMatch(/[{}]|undefined/);
});

describe("a caller", () => {
  it("without a key gets 401", async () => {
    for (const operation of keyed()) expectRefusal(await send(operation, {}), { operation, status: 401 });
  });

  it("with an unknown key gets 401", async () => {
    for (const operation of keyed()) {
      const answer = await send(operation, { key: "wmk_nobody" });
      expectRefusal(answer, { operation, status: 401 });
      expect(answer.text).not.toContain("wmk_nobody");
    }
  });

  it("with a key that lacks the scope gets 403", async () => {
    for (const operation of keyed()) {
      const { scopes } = operation.rules;
      const scope = ["exports:read", "audit:read"].find((other) => !scopes.includes(other)) as string;
      const body = { name: "narrow", scopes: [scope] };
      const made = await waymark.call("POST", "/waymark/v1/keys", { key: (await narrow()).key, body });
      expectRefusal(await send(operation, { key: made.body.secret }), { operation, status: 403 });
    }
  });

  let narrowed: { key: string } | undefined;
  async function narrow(): Promise<{ key: string }> {
    narrowed ??= await waymark.workspace("Narrow");
    return narrowed;
  }

  /** Bodies that are sound, where an empty one is not. */
  const SOUND: Readonly<Record<string, unknown>> = {
    "POST /api/v1/threads/{thread_id}/messages": { message: "Hello" },
    "PATCH /analytics/v1/visitors/{id}": { visitor: { data: { plan: "pro" } } },
  };

  it("of another workspace gets 404 for every object", async () => {
    const stranger = await waymark.workspace("Stranger");
    for (const operation of keyed().filter((one) => hasVariable(one) && one.method === "GET"))
      expect([nameOf(operation), (await send(operation, { key: owner.key })).status]).toEqual([nameOf(operation), 200]);
    for (const operation of keyed().filter(hasVariable)) {
      const body = SOUND[nameOf(operation)] ?? {};
      expectRefusal(await send(operation, { key: stranger.key, body }), { operation, status: 404 });
    }
  });

  it.each(["nobody", "%00", "a%2Fb", "%F0%9F%94%91", "x".repeat(2_000), "__proto__", "%27%20OR%201%3D1"])(
    "who asks for an object called %s gets 404 or 400",
    async (id) => {
      for (const operation of operations.filter(hasVariable)) {
        const body = SOUND[nameOf(operation)] ?? { message: "Hello" };
        const answer = await send(operation, { key: keyFor(operation), ids: () => id, body });
        expect([nameOf(operation), [400, 404].includes(answer.status)]).toEqual([nameOf(operation), true]);
        expectRefusal(answer, { operation, status: answer.status });
      }
    },
  );
});

describe("a body", () => {
  it("that is broken JSON gets 400 with the position", async () => {
    for (const operation of withBody()) {
      const answer = await send(operation, { key: keyFor(operation), body: '{\n  "name": "A",\n  "x" 7}' });
      expectRefusal(answer, { operation, status: 400 });
      expect(answer.text).toMatch(/line 3, column 7/);
    }
  });

  it.each(["[]", '"text"', "7", "null", "true"])("that is %s gets 400", async (body) => {
    for (const operation of withBody()) {
      expectRefusal(await send(operation, { key: keyFor(operation), body }), { operation, status: 400 });
    }
  });

  it("that is not UTF-8 gets 400", async () => {
    for (const operation of withBody()) {
      const response = await fetch(`${waymark.url}${pathOf(operation, ids)}`, {
        method: operation.method,
        headers: { authorization: `Bearer ${keyFor(operation)}`, "content-type": "application/json" },
        body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      });
      expect([nameOf(operation), response.status]).toEqual([nameOf(operation), 400]);
      await response.arrayBuffer();
    }
  });

  it("with a field of a wrong type gets 400, which names the field", async () => {
    let tried = 0;
    for (const operation of withBody()) {
      for (const { field, body } of wrongBodies(operation)) {
        const answer = await send(operation, { key: keyFor(operation), body });
        expectRefusal(answer, { operation, status: 400 });
        expect([nameOf(operation), JSON.stringify(body), answer.text]).toEqual([
          nameOf(operation),
          JSON.stringify(body),
          expect.stringContaining(field),
        ]);
        tried += 1;
      }
    }
    expect(tried).toBeGreaterThan(200);
  });

  it("that is nested a thousand levels deep gets 400, or is not looked at", async () => {
    const deep = `${'{"metadata":'.repeat(1_000)}1${"}".repeat(1_000)}`;
    for (const operation of operations.filter(({ body, rpc }) => body === "*" && rpc.input.field.metadata)) {
      expectRefusal(await send(operation, { key: keyFor(operation), body: deep }), { operation, status: 400 });
    }
  });

  it("that is too large gets 413", async () => {
    for (const operation of withBody()) {
      const body = `{"x":"${"x".repeat(operation.rules.maxBodyBytes)}"}`;
      expectRefusal(await send(operation, { key: keyFor(operation), body }), { operation, status: 413 });
    }
  });
});

describe("a query parameter", () => {
  it("that cannot be gets 400, which names it", async () => {
    let tried = 0;
    for (const operation of operations) {
      for (const { field, query } of wrongQueries(operation)) {
        const answer = await send(operation, { key: keyFor(operation), query: `?${query}` });
        expectRefusal(answer, { operation, status: 400 });
        expect([nameOf(operation), query, answer.text]).toEqual([
          nameOf(operation),
          query,
          expect.stringContaining(field),
        ]);
        tried += 1;
      }
    }
    expect(tried).toBeGreaterThan(50);
  });

  it("that nobody knows is not looked at", async () => {
    for (const operation of keyed().filter(({ method }) => method === "GET")) {
      const known = await send(operation, { key: keyFor(operation) });
      const more = await send(operation, { key: keyFor(operation), query: "?banana=1&__proto__=2" });
      expect([nameOf(operation), more.status]).toEqual([nameOf(operation), known.status]);
    }
  });
});
