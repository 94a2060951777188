import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { VisitorChange, VisitorChangedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import type { LogEntry } from "#runtime/log.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import { type Duck, openDuck } from "../engine/duck.ts";
import { openAnalyticsGround, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { claimModel, visitorModel } from "../visitors/model.ts";
import { keepSaid } from "../visitors/store.ts";
import { TYPES, toColumns } from "./columns.ts";
import { readForgotten } from "./forgotten.ts";
import { FINGERPRINT, SCHEMA } from "./schema.ts";
import { restoreVisitors, visitorChanges } from "./visitors.ts";

const folder = mkdtempSync(join(tmpdir(), "waymark-people-"));
afterAll(() => rmSync(folder, { recursive: true }));

const TABLES = {
  events: "id, device_id, position, changed",
  identities: "workspace, test, device_id, visitor_id",
  visitors: "visitor_id, email, first_name, identified_at, updated_at",
  attributes: "visitor_key, key, type, text, recorded_at",
  tombstones: "id, link_id, position, changed, gone_at, reason",
};

async function tablesIn(file: string): Promise<Record<string, string[]>> {
  const instance = await DuckDBInstance.create(file, { access_mode: "READ_ONLY" });
  const connection = await instance.connect();
  const tables: Record<string, string[]> = {};
  for (const [table, columns] of Object.entries(TABLES)) {
    const read = await connection.runAndReadAll(`SELECT ${columns} FROM ${table}`);
    tables[table] = read.getRows().map((row) => row.join("|")).toSorted(); // biome-ignore format: one line
  }
  connection.closeSync();
  instance.closeSync();
  return tables;
}

it("a file that is lost is made again as it was: people, what is known of them, and who was forgotten", async () => {
  const given = { folder: mkdtempSync(join(folder, "lost-")) };
  const file = join(given.folder, "analytics.duckdb");
  const ground = await openAnalyticsGround(given);
  const devices = ["a", "b", "c", "d", "e"];
  await ground.append(devices.map((deviceId) => touchOf({ id: `e-${deviceId}`, deviceId })));
  await ground.settle();
  const api = ground.client(VisitorService);
  const identify = (device: string, data: Record<string, string>) =>
    api.identifyVisitor({ lbid: Buffer.from(`e-${device}`).toString("base64url"), visitor: { data } }, ground.by());
  await identify("a", { $email: "ann@example.com", plan: "pro" });
  await identify("b", { $email: "ann@example.com", $firstName: "Ann" });
  await identify("c", { $email: "cy@example.com" });
  await identify("d", { city: "Bern" });
  await api.deleteVisitor({ id: "vis_c" }, ground.by());
  await ground.append([touchOf({ id: "e-c2", deviceId: "c" })]);
  await ground.settle();
  await identify("c", { $email: "cy@example.com" }).catch(() => undefined);
  await ground.close();
  const before = await tablesIn(file);
  expect(before.tombstones).toHaveLength(1);
  expect(before.events).toHaveLength(5);
  expect(before.identities).toEqual(["acme|false|a|vis_a", "acme|false|b|vis_a", "acme|false|d|vis_d"]);

  rmSync(file);
  const again = await openAnalyticsGround(given);
  await until(async () => again.gauges()["analytics.position"] === (await again.log.head()));
  await again.close();
  expect(await tablesIn(file)).toEqual(before);

  const log = await openSqliteLog({ path: join(given.folder, "log.db") });
  for await (const entries of log.read({ after: 0, subjects: ["visitors.changed"] }))
    for (const { payload } of entries) {
      expect(Buffer.from(payload).toString("latin1")).not.toMatch(/@|Ann|pro|Bern/);
      expect(fromBinary(VisitorChangedSchema, payload).workspaceId).toBe("acme");
    }
  await log.close();
});

describe("a table that is fed by hand", () => {
  let store: Store;
  let duck: Duck;
  beforeAll(async () => {
    store = openSqliteStore({ path: join(folder, "store.db"), models: [visitorModel, claimModel] });
    const path = join(folder, "by-hand.duckdb");
    duck = await openDuck({ path, memoryMb: 256, schema: SCHEMA, fingerprint: FINGERPRINT });
  });
  afterAll(async () => {
    await duck.close();
    await store.close();
  });

  const deps = () => ({ store, client: undefined as never, signal: new AbortController().signal });
  const count = async (sql: string) => Number((await duck.rows(`SELECT count(*) AS n FROM ${sql}`))[0]?.n);

  async function touched(workspaceId: string, touches: readonly [id: string, deviceId: string, position: number][]) {
    const events = touches.map(([id, deviceId, position]) => ({
      touch: touchOf({ id, workspaceId, deviceId }),
      ...{ position, recordedAt: 0 },
    }));
    const slice = (begin: number, end: number) => toColumns(events.slice(begin, end));
    await duck.write(({ append }) => append("events", { types: TYPES, length: events.length, slice }));
  }

  const entry = (position: number, init: { workspaceId: string; visitorId: string; change: VisitorChange } & object) =>
    ({
      ...{ position, partition: 0, subject: "visitors.changed", appendedAt: 77 },
      payload: toBinary(VisitorChangedSchema, create(VisitorChangedSchema, init)),
    }) satisfies LogEntry;

  const say = (workspace: string, device: string, email: string, test = false) =>
    keepSaid(
      { store, workspace, test },
      { visitorId: `vis_${device}`, said: { $email: email }, once: false, identifies: true, at: 5 },
    );

  it("loses the events of devices that are forgotten, up to there, once, in one world of one workspace", async () => {
    await touched("w1", [["1", "a", 10], ["2", "b", 11], ["3", "a", 30], ["4", "z", 12]]); // biome-ignore format: rows
    await touched("w2", [["1", "a", 10]]);
    const change = { workspaceId: "w1", visitorId: "vis_a", change: VisitorChange.ERASED, deviceIds: ["a", "b"] };
    for (let time = 0; time < 2; time += 1) {
      await duck.write(await visitorChanges([entry(20, change)], deps()));
      expect(await duck.rows("SELECT workspace, id FROM events ORDER BY 1, 2")).toEqual([
        { workspace: "w1", id: "3" },
        { workspace: "w1", id: "4" },
        { workspace: "w2", id: "1" },
      ]);
      expect(await duck.rows("SELECT id, position, changed, gone_at, reason FROM tombstones ORDER BY id")).toEqual([
        { id: "1", position: 10n, changed: 20n, gone_at: 77n, reason: "erased" },
        { id: "2", position: 11n, changed: 20n, gone_at: 77n, reason: "erased" },
      ]);
    }
  });

  it("has each device once, whatever is told of it twice or in the middle of a merger", async () => {
    await touched("w3", [["1", "a", 40], ["2", "b", 41]]); // biome-ignore format: rows
    await say("w3", "a", "x@example.com");
    await say("w3", "b", "x@example.com");
    await say("w3", "a", "x@example.com", true);
    const merged = { workspaceId: "w3", visitorId: "vis_a", change: VisitorChange.MERGED, mergedIds: ["vis_b"] };
    const early = { workspaceId: "w3", visitorId: "vis_b", change: VisitorChange.IDENTIFIED };
    for (const entries of [[entry(50, early)], [entry(51, merged)], [entry(50, early), entry(51, merged)]]) {
      await duck.write(await visitorChanges(entries, deps()));
      expect(await duck.rows("SELECT device_id, visitor_id FROM identities WHERE workspace = 'w3' ORDER BY 1")).toEqual(
        [
          { device_id: "a", visitor_id: "vis_a" },
          { device_id: "b", visitor_id: "vis_a" },
        ],
      );
      expect(await count("touches WHERE workspace = 'w3'")).toBe(2);
      expect(await count("visitors WHERE workspace = 'w3'")).toBe(1);
    }
    expect(await count("events WHERE workspace = 'w3' AND changed = 51")).toBe(2);
  });

  it("is made anew from the store where the log has let go of what was said", async () => {
    const visitors = store.collection(visitorModel).of("w4");
    const ids = Array.from({ length: 700 }, (_, n) => String(n).padStart(4, "0"));
    for (const [n, id] of ids.entries()) {
      const base = { id: `live:vis_${id}`, visitorId: `vis_${id}`, test: false, attributes: {}, updatedAt: 1 };
      const partner = ids[n + 350];
      if (n < 350) await visitors.insert({ ...base, devices: [id, partner ?? ""], identifiedAt: 1 });
      else await visitors.insert({ ...base, devices: [], mergedInto: `vis_${ids[n - 350]}` });
    }
    await visitors.insert({
      ...{ id: "live:vis_gone", visitorId: "vis_gone", test: false, attributes: {}, updatedAt: 1 },
      ...{ devices: [], erasedAt: 2, erasedTo: 60 },
    });
    await touched("w4", [["2", "gone", 65], ["3", "0699", 55]]); // biome-ignore format: rows
    await (await restoreVisitors("w4", 70, deps()))(duck);
    expect(await count("identities WHERE workspace = 'w4'")).toBe(700);
    expect(await count("visitors WHERE workspace = 'w4'")).toBe(350);
    expect(await duck.rows("SELECT id, visitor_id FROM touches WHERE workspace = 'w4' ORDER BY id")).toEqual([
      { id: "2", visitor_id: "vis_gone" },
      { id: "3", visitor_id: "vis_0349" },
    ]);
  });

  it.each([
    ["before that", { deviceId: "gone", position: 55 }, true],
    ["after that", { deviceId: "gone", position: 65 }, false],
    ["in the other world", { deviceId: "gone", position: 55, test: true }, false],
    ["whose device became another one after that", { deviceId: "d1", position: 55, former: [["gone", 70]] }, true],
    ["whose device had become another one", { deviceId: "d1", position: 55, former: [["gone", 58]] }, false],
    ["that was given the device after that", { deviceId: "gone", position: 55, former: [["d1", 70]] }, false],
    ["that had been given the device", { deviceId: "gone", position: 55, former: [["d1", 58]] }, true],
    [
      "that had the device in between",
      {
        deviceId: "",
        position: 50,
        former: [
          ["", 55],
          ["gone", 62],
          ["d1", 64],
        ],
      },
      true,
    ],
  ] as const)("that is made anew leaves out who was forgotten: a touch %s", async (_what, given, isGone) => {
    await store
      .collection(visitorModel)
      .of("w5")
      .insert({
        ...{ id: "live:vis_gone", visitorId: "vis_gone", test: false, attributes: {}, updatedAt: 1 },
        ...{ devices: [], erasedAt: 2, erasedTo: 60 },
      });
    const { deviceId, position, test = false, former = [] } = { test: false, former: [], ...given };
    const formerDevices = former.map(([before, until]) => ({ deviceId: before, until }));
    const event = { touch: touchOf({ deviceId, test }), position, recordedAt: 0, formerDevices };
    expect((await readForgotten("w5", deps()))(event)).toBe(isGone);
  });
});
