import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Doc, defineModel, type Field, type Index, type Model } from "./model.ts";
import { testsOf } from "./store/condition.ts";
import { after, orderSql, selectSql, sortKeys, whereSql } from "./store/query.ts";
import { tableOf } from "./store/table.ts";
import { openSqliteStore } from "./store.sqlite.ts";
import type { Query, Where } from "./store.ts";

interface Scan {
  id: string;
  version?: number;
  code: string;
  at: number;
  human: boolean;
  country: string;
  device: string;
}

const scans = defineModel<Scan>({
  name: "schema.scans",
  fields: {
    code: { kind: "string" },
    at: { kind: "number" },
    human: { kind: "boolean" },
    country: { kind: "string" },
    device: { kind: "string" },
  },
  indexes: [
    { name: "code", fields: ["code", "at"] },
    { name: "human", fields: ["code", "human", "at"] },
    { name: "at", fields: ["at"] },
    { name: "device", fields: ["code", "device"], unique: true },
  ],
});

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-store-"));
  path = join(folder, "store.db");
});

afterEach(() => rmSync(folder, { recursive: true }));

async function during<R>(model: Model<Doc>, run: (docs: ReturnType<typeof collection>) => Promise<R>): Promise<R> {
  const store = openSqliteStore({ path, models: [model] });
  try {
    return await run(collection(store, model));
  } finally {
    await store.close();
  }
}

function collection(store: ReturnType<typeof openSqliteStore>, model: Model<Doc>) {
  return store.collection(model as Model<Doc & Record<string, unknown>>).of("w");
}

describe("plans", () => {
  const table = tableOf(scans);
  const conditionOf = (where: Where<Scan>) => whereSql(table, "w", testsOf(scans, where as Where<Doc>));
  const explain = (sql: string) => {
    const db = new DatabaseSync(path);
    const steps = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[];
    db.close();
    return steps.map(({ detail }) => detail).join("\n");
  };

  beforeEach(() => during(scans, async () => undefined));

  it.each<[string, Query<Scan>, string]>([
    ["a code's newest", { where: { code: "c" }, sort: [["at", -1]] }, "/code (ws=? AND code=?)"],
    [
      "a code's range",
      { where: { code: "c", at: { gte: 1, lt: 9 } }, sort: [["at", 1]] },
      "/code (ws=? AND code=? AND at>? AND at<?)",
    ],
    ["everybody's newest", { sort: [["at", -1]] }, "/at (ws=?)"],
    ["everybody's range", { where: { at: { gt: 1 } }, sort: [["at", -1]] }, "/at (ws=? AND at>?)"],
    ["a boolean", { where: { code: "c", human: true }, sort: [["at", -1]] }, "/human (ws=? AND code=? AND human=?)"],
    ["one unique document", { where: { code: "c", device: "d" } }, "/device (ws=? AND code=? AND device=?)"],
    ["by id", { where: { id: { gt: "x" } } }, "(ws=? AND id>?)"],
  ])("an index serves filter and order: %s", (_case, { where = {}, sort }, index) => {
    const plan = explain(
      selectSql(table, conditionOf(where).text, orderSql(sortKeys(table, sort as Query<Doc>["sort"]))),
    );
    expect(plan).toContain(index);
    expect(plan).not.toContain("TEMP B-TREE");
    expect(plan).toMatch(/^SEARCH \S+ USING INDEX [^\n]*$/);
  });

  it.each([
    ["upwards", 1, { at: 5, id: "x" }],
    ["downwards", -1, { at: 5, id: "x" }],
    ["from where the field is absent", 1, { id: "x" }],
    ["down from where the field is absent", -1, { id: "x" }],
  ] as const)("an index serves each part of what comes after a document, %s", (_case, direction, last) => {
    const keys = sortKeys(table, [["at", direction]] as unknown as Query<Doc>["sort"]);
    for (const { text } of after(keys, last)) {
      const plan = explain(selectSql(table, `${conditionOf({ code: "c" }).text} AND ${text}`, orderSql(keys)));
      expect(plan).toMatch(/^SEARCH \S+ USING INDEX \S+\/code \(ws=\? AND code=\? AND at[^\n]*$/);
    }
  });

  it.each<[string, Where<Scan>, string]>([
    [
      "a range",
      { code: "c", at: { gte: 1, lt: 9 } },
      "COVERING INDEX schema.scans/code (ws=? AND code=? AND at>? AND at<?)",
    ],
    ["one of several", { code: { in: ["c", "d"] } }, "(ws=? AND code=?)"],
    [
      "an absent field",
      { code: "c", at: { exists: false } },
      "COVERING INDEX schema.scans/code (ws=? AND code=? AND at=?)",
    ],
  ])("an index alone answers a count by %s", (_case, where, index) => {
    expect(explain(`SELECT count(*) FROM ${table.name} WHERE ${conditionOf(where).text}`)).toContain(index);
  });

  it("a selective filter goes before an order that would walk through the workspace", () => {
    const order = orderSql(sortKeys(table, undefined));
    expect(explain(selectSql(table, conditionOf({ code: "c" }).text, order))).toContain("(ws=? AND code=?)");
  });
});

describe("a later version of a model", () => {
  const model = (fields: Record<string, Field>, indexes: Index[]): Model<Doc> => ({
    name: "schema.things",
    fields,
    indexes,
  });
  const string: Field = { kind: "string" };
  const tables = () => {
    const db = new DatabaseSync(path);
    const rows = db
      .prepare("SELECT name FROM sqlite_schema WHERE tbl_name = 'schema.things' AND sql IS NOT NULL")
      .all();
    const columns = db.prepare("SELECT name FROM pragma_table_info('schema.things')").all();
    db.close();
    return { names: rows.map(({ name }) => name), columns: columns.map(({ name }) => name) };
  };
  const first = model({ kind: string, live: { kind: "boolean" }, at: { kind: "number" } }, []);

  beforeEach(() =>
    during(first, async (docs) => {
      await docs.insert({ id: "a", kind: "cup", live: true, at: 1.5 });
      await docs.insert({ id: "b", kind: "cup", at: 2 });
    }),
  );

  it("gets its new indexes and columns, filled from the documents", async () => {
    const second = model(first.fields as Record<string, Field>, [{ name: "all", fields: ["kind", "live", "at"] }]);
    await during(second, async (docs) => {
      expect(await docs.find({ where: { kind: "cup", live: true, at: { gt: 1 } } })).toHaveLength(1);
      expect(await docs.count({ live: { exists: false }, at: 2 })).toBe(1);
    });
    expect(tables().names).toContain("schema.things/all");
    expect(tables().columns).toEqual(expect.arrayContaining(["kind", "live", "at"]));
  });

  it("loses indexes and columns that it no longer has, so that they cannot be stale when they come back", async () => {
    const indexed = model(first.fields as Record<string, Field>, [{ name: "kind", fields: ["kind"] }]);
    await during(indexed, async (docs) => expect(await docs.count({ kind: "cup" })).toBe(2));
    await during(first, async (docs) => {
      await docs.insert({ id: "c", kind: "cup" });
      await docs.update("a", { set: { kind: "plate" } });
    });
    expect(tables()).toEqual({ names: ["schema.things"], columns: ["seq", "ws", "id", "version", "doc"] });
    await during(indexed, async (docs) => {
      expect(await docs.count({ kind: "cup" })).toBe(2);
      expect(await docs.count({ kind: "plate" })).toBe(1);
    });
  });

  it("gets an index anew whose fields have changed", async () => {
    const fields = first.fields as Record<string, Field>;
    await during(model(fields, [{ name: "one", fields: ["kind", "at"] }]), async () => undefined);
    await during(model(fields, [{ name: "one", fields: ["live"] }]), async (docs) => {
      expect(await docs.count({ live: true })).toBe(1);
    });
    expect(tables().columns).toEqual(["seq", "ws", "id", "version", "doc", "live"]);
  });

  it("is refused when a new unique index does not hold, naming it, and nothing is lost", async () => {
    const unique = model(first.fields as Record<string, Field>, [{ name: "kind", fields: ["kind"], unique: true }]);
    expect(() => openSqliteStore({ path, models: [unique] })).toThrow(
      "schema.things: the index kind cannot be unique, documents share its fields",
    );
    await during(first, async (docs) => expect(await docs.count()).toBe(2));
  });

  it("changes nothing at all when it is opened again", async () => {
    const second = model(first.fields as Record<string, Field>, [{ name: "kind", fields: ["kind"], unique: false }]);
    const schema = () => {
      const db = new DatabaseSync(path);
      const { schema_version: version } = db.prepare("PRAGMA schema_version").get() as { schema_version: number };
      db.close();
      return version;
    };
    await during(second, async () => undefined);
    const before = schema();
    await during(second, async () => undefined);
    expect(schema()).toBe(before);
  });

  it("refuses a file of a later layout", () => {
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 99");
    db.close();
    expect(() => openSqliteStore({ path, models: [first] })).toThrow("written by a later version of Waymark");
  });
});

describe("models that cannot be tables", () => {
  const field: Field = { kind: "string" };
  it.each<[string, Model<Doc>, string]>([
    ["a name with spaces", { name: "a b", fields: {}, indexes: [] }, "not a name for a collection"],
    ["a name of SQLite", { name: "sqlite_x", fields: {}, indexes: [] }, "not a name for a collection"],
    ["a field with a quote", { name: "a", fields: { 'x"': field }, indexes: [] }, "not a name for a field"],
    ["an index on nothing", { name: "a", fields: {}, indexes: [{ name: "i", fields: ["x"] }] }, "not in the model"],
    [
      "an index on an object",
      { name: "a", fields: { x: { kind: "object" } }, indexes: [{ name: "i", fields: ["x"] }] },
      "is object",
    ],
    [
      "an index on doc",
      { name: "a", fields: { doc: field }, indexes: [{ name: "i", fields: ["doc"] }] },
      "rename the field",
    ],
    [
      "a unique index on the id",
      { name: "a", fields: {}, indexes: [{ name: "i", fields: ["id"], unique: true }] },
      "leave id out",
    ],
    ["an index without fields", { name: "a", fields: {}, indexes: [{ name: "i", fields: [] }] }, "has no fields"],
    [
      "two indexes of a name",
      {
        name: "a",
        fields: { x: field },
        indexes: [
          { name: "i", fields: ["x"] },
          { name: "I", fields: ["x"] },
        ],
      },
      "occurs twice",
    ],
    [
      "fields that differ by case",
      { name: "a", fields: { x: field, X: field }, indexes: [{ name: "i", fields: ["x"] }] },
      "differs from X by case only",
    ],
  ])("refuses %s", (_case, model, message) => {
    expect(() => openSqliteStore({ path, models: [model] })).toThrow(message);
  });

  it("refuses two models of one name", () => {
    expect(() => openSqliteStore({ path, models: [scans, scans] })).toThrow("two models have the name schema.scans");
  });
});
