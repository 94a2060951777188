import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Condition, ConditionSchema, Operator } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { NOW } from "../test-ground.ts";
import { peopleSql } from "./levels.ts";
import { EVENTS, OF_EVENTS, OF_VISITORS, openPeople, SCOPE, type Value, visitorOf } from "./test-people.ts";
import { compileWhere } from "./where.ts";

const DAY = 86_400_000;
let people: Awaited<ReturnType<typeof openPeople>>;
beforeAll(async () => {
  people = await openPeople();
});
afterAll(() => people.close());

const VALUES: Readonly<Record<string, readonly Value[]>> = {
  id: ["e1", "vis_d1", "vis_d4", "none"],
  scannedAt: [NOW - 3 * DAY, NOW - DAY, NOW],
  lastAt: [NOW - 3 * DAY, NOW - DAY, NOW],
  country: ["DE", "FR", "e", "XX"],
  deviceType: ["DEVICE_TYPE_MOBILE", "DEVICE_TYPE_UNKNOWN", "DEVICE_TYPE_TABLET"],
  visitType: ["VISIT_TYPE_FIRST", "VISIT_TYPE_RETURNING"],
  visitorId: ["vis_d1", "vis_d4", "vis_d2"],
  linkName: ["Menu", "menu", "Poster"],
  tag: ["spring", "table", "none"],
  email: ["ada@example.com", "ADA", "@"],
  "attributes.plan": ["gold", "GO", "silver"],
  "attributes.seats": [4, 10.5, 5],
  identified: [true, false],
  conversationStarted: [true, false],
};
const NUMBERS: readonly Value[] = [0, 1, 3, 12, 24, 42, 3320, 2.5];
const EQUALITY = [Operator.EQUALS, Operator.NOT_EQUALS, Operator.IN, Operator.NOT_IN];
const ORDER = [Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST];
const KNOWING: readonly Operator[] = [Operator.IS_KNOWN, Operator.IS_UNKNOWN];

function operators(name: string, value: Value): Operator[] {
  if (typeof value === "boolean") return [Operator.EQUALS, Operator.NOT_EQUALS, ...KNOWING];
  if (typeof value === "number") return [...EQUALITY, ...ORDER, ...KNOWING];
  const isText = name !== "tag" && !/Type$/.test(name);
  return [...EQUALITY, ...KNOWING, ...(isText ? [Operator.CONTAINS, Operator.STARTS_WITH] : [])];
}

interface Simple {
  name: string;
  op: Operator;
  values: readonly Value[];
}

function holds(has: Value, { op, values }: Simple): boolean {
  const [value] = values;
  const is = (one: Value) => (Array.isArray(has) ? has.includes(one as string) : has === one);
  const text = String(has).toLowerCase();
  const isKnown = Array.isArray(has) ? has.length > 0 : has !== undefined;
  switch (op) {
    case Operator.EQUALS:
      return is(value);
    case Operator.NOT_EQUALS:
      return !is(value);
    case Operator.IN:
      return values.some(is);
    case Operator.NOT_IN:
      return !values.some(is);
    case Operator.IS_KNOWN:
      return isKnown;
    case Operator.IS_UNKNOWN:
      return !isKnown;
    case Operator.CONTAINS:
      return isKnown && text.includes(String(value).toLowerCase());
    case Operator.STARTS_WITH:
      return isKnown && text.startsWith(String(value).toLowerCase());
    case Operator.LESS:
      return isKnown && Number(has) < Number(value);
    case Operator.AT_MOST:
      return isKnown && Number(has) <= Number(value);
    case Operator.GREATER:
      return isKnown && Number(has) > Number(value);
    default:
      return isKnown && Number(has) >= Number(value);
  }
}

function asMessage({ name, op, values }: Simple): Condition {
  const isTime = /At$/.test(name);
  const plain = values.map((value) => {
    const said = isTime ? new Date(Number(value)).toISOString() : value;
    if (typeof said === "number") return { kind: { case: "numberValue" as const, value: said } };
    if (typeof said === "boolean") return { kind: { case: "boolValue" as const, value: said } };
    return { kind: { case: "stringValue" as const, value: String(said) } };
  });
  const isList = op === Operator.IN || op === Operator.NOT_IN;
  if (KNOWING.includes(op)) return create(ConditionSchema, { field: name, op });
  return create(ConditionSchema, { field: name, op, ...(isList ? { values: plain } : { value: plain[0] }) });
}

const simple = (names: readonly string[]): fc.Arbitrary<Simple> =>
  fc.constantFrom(...names).chain((name) => {
    const values = fc.array(fc.constantFrom(...(VALUES[name] ?? NUMBERS)), { minLength: 1, maxLength: 3 });
    return values.chain((some) =>
      fc.constantFrom(...operators(name, some[0])).map((op) => ({ name, op, values: some })),
    );
  });
/** All groups hold, and of a group one condition. */
const wanted = (names: readonly string[]) =>
  fc.array(fc.array(simple(names), { minLength: 1, maxLength: 2 }), { maxLength: 3 });

const messagesOf = (groups: readonly (readonly Simple[])[]) =>
  groups.map((group) => {
    const [first, ...more] = group.map(asMessage);
    return more.length === 0 && first !== undefined ? first : create(ConditionSchema, { anyOf: group.map(asMessage) });
  });

describe("conditions hold where plain code says so", () => {
  const seen = { scope: SCOPE, now: NOW };

  it("of events", async () => {
    const property = fc.asyncProperty(wanted(Object.keys(OF_EVENTS)), async (groups) => {
      const { sql, params } = compileWhere(messagesOf(groups), "events", "w", seen);
      const rows = await people.duck.rows(`SELECT id FROM touches WHERE ${SCOPE.sql} AND ${sql}`, {
        ...SCOPE.params,
        ...params,
      });
      const right = EVENTS.filter((event) =>
        groups.every((group) => group.some((one) => holds(OF_EVENTS[one.name]?.(event), one))),
      );
      expect(rows.map(({ id }) => String(id)).sort()).toEqual(right.map(({ id }) => id).sort());
    });
    await fc.assert(property, { numRuns: 300, endOnFailure: true, interruptAfterTimeLimit: 8_000 });
  });

  it("of visitors", async () => {
    const visitors = [...new Set(EVENTS.flatMap(({ deviceId }) => visitorOf(deviceId) ?? []))];
    const property = fc.asyncProperty(wanted(Object.keys(OF_VISITORS)), async (groups) => {
      const { sql, params } = compileWhere(messagesOf(groups), "visitors", "w", seen);
      const members = `SELECT visitor_id AS id FROM (${peopleSql(SCOPE.sql, "$wNow")}) WHERE ${sql}`;
      const rows = await people.duck.rows(members, { ...SCOPE.params, ...params });
      const right = visitors.filter((visitor) =>
        groups.every((group) => group.some((one) => holds(OF_VISITORS[one.name]?.(visitor), one))),
      );
      expect(rows.map(({ id }) => String(id)).sort()).toEqual(right.sort());
    });
    await fc.assert(property, { numRuns: 300, endOnFailure: true, interruptAfterTimeLimit: 8_000 });
  });
});
