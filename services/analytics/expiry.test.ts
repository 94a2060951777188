import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { internalContext } from "#runtime/internal.ts";
import { deviceKey } from "./device-key.ts";
import { type Duck, openDuck } from "./engine/duck.ts";
import { openGate } from "./engine/gate.ts";
import { readEvents, readFirsts } from "./events/events.ts";
import { expire, startExpiry } from "./expiry.ts";
import { FINGERPRINT, SCHEMA } from "./feed/schema.ts";
import { scopeOf } from "./scope.ts";
import { NOW, until } from "./test-ground.ts";

const DAY_MS = 86_400_000;
const KEY = deviceKey("d");

let folder: string;
let duck: Duck;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-expiry-"));
  duck = await openDuck({
    path: join(folder, "t.duckdb"),
    memoryMb: 256,
    schema: SCHEMA,
    fingerprint: FINGERPRINT,
  });
});
afterAll(async () => {
  await duck.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => duck.write(({ run }) => run("DELETE FROM events")));

interface Made {
  workspace: string;
  age: number;
  test: boolean;
  human: boolean;
}

/** Writes events of some ages in milliseconds; the id of one is its place in the list. */
async function put(events: readonly Made[]): Promise<void> {
  const values = events.map(
    ({ workspace, age, test, human }, n) =>
      `('${workspace}', 'e${n}', ${n}, 'l', ${NOW - age}, ${test}, ${human}, 'd', ${KEY})`,
  );
  const columns = "(workspace, id, position, link_id, scanned_at, test, human, device_id, device_key)";
  if (values.length > 0)
    await duck.write(({ run }) => run(`INSERT INTO events ${columns} VALUES ${values.join(", ")}`));
}

const left = async () => {
  const rows = await duck.rows("SELECT id FROM events ORDER BY position");
  return rows.map(({ id }) => String(id));
};

const keeping = (days: Readonly<Record<string, number>>) => ({
  duck,
  settingsOf: async (workspace: string) => ({ timezone: "UTC", scansDays: days[workspace] ?? 0 }),
  now: () => NOW,
  signal: new AbortController().signal,
});

describe("expiry", () => {
  it("deletes exactly what is older than its workspace keeps, of every kind, and notes nothing of it", async () => {
    const event = fc.record({
      workspace: fc.constantFrom("a", "b", "c"),
      age: fc.oneof(
        fc.integer({ min: 0, max: 60 * DAY_MS }),
        fc.constantFrom(10 * DAY_MS - 1, 10 * DAY_MS, 10 * DAY_MS + 1),
      ),
      test: fc.boolean(),
      human: fc.boolean(),
    });
    const days = { a: 10, b: 30, c: 0 };
    const property = fc.asyncProperty(fc.array(event, { maxLength: 40 }), async (events) => {
      await duck.write(({ run }) => run("DELETE FROM events"));
      await put(events);
      await expire(keeping(days));
      const kept = events.flatMap(({ workspace, age }, n) => {
        const most = days[workspace as keyof typeof days] * DAY_MS;
        return most === 0 || age <= most ? [`e${n}`] : [];
      });
      expect(await left()).toEqual(kept);
    });
    await fc.assert(property, { numRuns: 12 });
    expect(await duck.rows("SELECT * FROM tombstones")).toEqual([]);
  });

  it("goes on with the other workspaces when one cannot be asked about, and says that it could not", async () => {
    const old = (workspace: string) => ({ workspace, age: 50 * DAY_MS, test: false, human: true });
    await put([old("a"), old("b"), old("c")]);
    const { settingsOf, ...rest } = keeping({ a: 10, b: 10, c: 10 });
    const failing = (workspace: string) =>
      workspace === "b" ? Promise.reject(new Error("access is down")) : settingsOf(workspace);
    await expect(expire({ ...rest, settingsOf: failing })).rejects.toThrow("access is down");
    expect(await left()).toEqual(["e1"]);
  });

  it("ends at once when a workspace wants to keep more, and lets the feed write in between", async () => {
    await many("a", 35_000);
    let days = 10;
    const settingsOf = async () => ({ timezone: "UTC", scansDays: days });
    const steps: number[] = [];
    const expiring = expire({ ...keeping({}), settingsOf }, (events) => {
      steps.push(events);
      if (steps.length === 2) days = 0;
    });
    await until(() => steps.length === 1);
    await put([{ workspace: "z", age: 0, test: false, human: true }]);
    await expiring;
    expect(steps).toEqual([10_000, 10_000]);
    expect(await left()).toHaveLength(15_001);
  });

  it("begins by itself when the table is there, and ends when it is stopped", async () => {
    await put([{ workspace: "a", age: 50 * DAY_MS, test: false, human: true }]);
    const gate = openGate<Duck>(5_000);
    const background = startExpiry({ ...keeping({ a: 10 }), engine: gate });
    await delay(20);
    expect(await left()).toHaveLength(1);
    gate.open(duck);
    await until(() => background.gauges?.().expired === 1);
    await background.stop();
    expect(await left()).toEqual([]);
  });
});

/** So many events of one workspace, fifty days old. */
async function many(workspace: string, events: number): Promise<void> {
  const row = `'${workspace}' AS workspace, 'm' || range AS id, range AS position, 'l' AS link_id,
    ${NOW - 50 * DAY_MS} AS scanned_at, true AS human, false AS test, 1 AS device_key`;
  await duck.write(({ run }) => run(`INSERT INTO events BY NAME SELECT ${row} FROM range(${events})`));
}

it("a page that was read before the rows got other numbers still knows which events were first visits", async () => {
  await many("old", 250_000);
  await put([2, 1, 0].map((age) => ({ workspace: "acme", age, test: false, human: true })));
  const { principal } = internalContext("acme");
  const scope = scopeOf({ principal, now: () => NOW });
  const asking = { duck, scope, signal: AbortSignal.timeout(20_000) };
  const number = () => duck.rows("SELECT rowid FROM events WHERE workspace = 'acme' AND id = 'e0'");
  const before = await number();
  await duck.write(({ run }) => run("UPDATE watermark SET position = 1000000"));
  const { rows } = await readEvents(asking, { after: undefined, size: 10 });
  await duck.write(({ run }) => run("DELETE FROM events WHERE workspace = 'old'"));
  await duck.rows("CHECKPOINT");
  expect(await number(), "the engine has numbered the rows anew").not.toEqual(before);
  const firsts = await readFirsts(asking, rows);
  expect(rows.map(({ id }) => [id, firsts.has(String(id))])).toEqual([
    ["e2", false],
    ["e1", false],
    ["e0", true],
  ]);
});
