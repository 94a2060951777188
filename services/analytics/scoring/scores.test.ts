import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { deviceKey } from "../device-key.ts";
import { openTable, type PlainEvent, type Table } from "../forecast/test-table.ts";
import { DEFAULT_WEIGHTS, leadScoreOf, partsOf, rounded, type Sums, scoreOf } from "./parts.ts";
import { scoresSql, weightParams } from "./score-sql.ts";
import { readAverageScore, readEvent, readLeadScores, readSums, readSumsAt, visitorKeyOf } from "./scores.ts";

let table: Table;
beforeAll(async () => {
  table = await openTable();
});
afterAll(() => table.close());

const HOUR = 3_600_000;
const BEGIN = Date.parse("2026-11-01T00:00:00Z");
/** The visitor "vis_x" was identified and has the devices d1 and d2; it has an address since hour 30, a plan since 50. */
const X_KEY = 77n;
const visitorOf = (device: string) => (device === "d1" || device === "d2" ? "vis_x" : `vis_${device}`);

const event = fc.record({
  linkId: fc.constantFrom("a", "b", "c"),
  device: fc.constantFrom(undefined, "d1", "d2", "d3", "d4"),
  at: fc.integer({ min: 0, max: 80 }).map((hour) => BEGIN + hour * HOUR),
  human: fc.constantFrom(true, true, true, false),
  test: fc.constantFrom(false, false, false, true),
  position: fc.integer({ min: 1, max: 9 }),
  deviceType: fc.integer({ min: 0, max: 3 }),
  browser: fc.constantFrom("", "Safari"),
  platform: fc.constantFrom("", "iOS"),
  talked: fc.boolean(),
  messages: fc.nat({ max: 3 }),
});

const histories = fc
  .array(event, { minLength: 1, maxLength: 40 })
  .map((all): PlainEvent[] => all.map((one, index) => ({ ...one, id: `e${String(index).padStart(2, "0")}` })));

async function write(events: readonly PlainEvent[]): Promise<PlainEvent[]> {
  for (const name of ["events", "identities", "visitors", "attributes"]) await table.run(`DELETE FROM ${name}`);
  await table.put(events);
  for (const device of ["d1", "d2"])
    await table.run(
      `INSERT INTO identities VALUES ('acme', false, $key, '${device}', $visitor, 'vis_x'),
        ('other', false, $key, '${device}', 5, 'vis_other')`,
      { key: deviceKey(device), visitor: X_KEY },
    );
  await table.run(
    `INSERT INTO visitors (workspace, test, visitor_key, visitor_id, email, identified_at)
      VALUES ('acme', false, $visitor, 'vis_x', 'x@example.com', $at), ('other', false, $visitor, 'vis_y', 'y@example.com', 0)`,
    { visitor: X_KEY, at: BigInt(BEGIN + 30 * HOUR) },
  );
  await table.run(
    "INSERT INTO attributes (workspace, test, visitor_key, key, text, recorded_at) VALUES ('acme', false, $visitor, 'plan', 'pro', $at)",
    { visitor: X_KEY, at: BigInt(BEGIN + 50 * HOUR) },
  );
  return events.filter(({ human, test }) => human && !test);
}

/** Sums by plain code: of the visitor's events, and what was known by `until`. */
function plainSums(mine: readonly PlainEvent[], visitor: string, until = Number.POSITIVE_INFINITY): Sums {
  const isKnown = visitor === "vis_x" && until >= BEGIN + 30 * HOUR;
  return {
    visits: mine.length,
    links: new Set(mine.map(({ linkId }) => linkId)).size,
    days: new Set(mine.map(({ at }) => Math.floor(at / (24 * HOUR)))).size,
    talks: mine.filter(({ talked }) => talked).length,
    messages: mine.reduce((sum, { messages = 0 }) => sum + messages, 0),
    kinds: new Set(mine.flatMap(({ deviceType }) => deviceType || [])).size,
    hasBrowser: mine.some(({ browser }) => browser !== ""),
    hasPlatform: mine.some(({ platform }) => platform !== ""),
    hasEmail: isKnown,
    hasPhone: false,
    hasName: false,
    attributes: visitor === "vis_x" && until >= BEGIN + 50 * HOUR ? 1 : 0,
  };
}

const byVisitor = (seen: readonly PlainEvent[]) =>
  Map.groupBy(
    seen.filter(({ device }) => device !== undefined),
    ({ device = "" }) => visitorOf(device),
  );

const overHistories = (check: (seen: PlainEvent[]) => Promise<void>) =>
  fc.assert(
    fc.asyncProperty(histories, async (events) => check(await write(events))),
    { numRuns: 12 },
  );

it("a visitor's sums and score are those of plain code, in SQL too", async () => {
  await overHistories(async (seen) => {
    const asking = table.asking();
    const params = { ...asking.scope.params, ...weightParams(DEFAULT_WEIGHTS) };
    const scores = await table.duck.rows(scoresSql(asking.scope.sql), params);
    const people = byVisitor(seen);
    expect(scores).toHaveLength(people.size);
    for (const [visitor, mine] of people) {
      const key = await visitorKeyOf(asking, visitor);
      const sums = plainSums(mine, visitor);
      expect(await readSums(asking, key as bigint)).toEqual(sums);
      const inSql = scores.find(({ visitor_key }) => visitor_key === key);
      expect(Number(inSql?.score)).toBeCloseTo(scoreOf(partsOf(sums), DEFAULT_WEIGHTS), 6);
    }
    for (const nobody of ["vis_d1", "vis_d9", "vis_other", ""])
      expect(await visitorKeyOf(asking, nobody)).toBe(undefined);
  });
});

it("events have the scores of their visitors, and their mean is the average, also of a part", async () => {
  await overHistories(async (seen) => {
    const asking = table.asking();
    const people = byVisitor(seen);
    const scoreBy = (device: string) =>
      leadScoreOf(partsOf(plainSums(people.get(visitorOf(device)) ?? [], visitorOf(device))), DEFAULT_WEIGHTS);
    const devices = [...new Set(seen.flatMap(({ device }) => device ?? []))];
    const got = await readLeadScores(asking, DEFAULT_WEIGHTS, devices.map(deviceKey));
    expect(got).toEqual(new Map(devices.map((device) => [String(deviceKey(device)), scoreBy(device)])));
    const part = table.asking({ sql: "link_id = $link", params: { link: "a" } });
    for (const [one, linkId] of [
      [asking, undefined],
      [part, "a"],
    ] as const) {
      const scored = seen.flatMap(({ device, linkId: of }) =>
        linkId === undefined || of === linkId ? (device ?? []) : [],
      );
      const exact = scored.map((device) =>
        scoreOf(partsOf(plainSums(people.get(visitorOf(device)) ?? [], visitorOf(device))), DEFAULT_WEIGHTS),
      );
      const mean = exact.reduce((sum, score) => sum + score, 0) / exact.length;
      const about = { seen: asking.scope, weights: DEFAULT_WEIGHTS, events: seen.length };
      const average = await readAverageScore(one, about);
      const some = scored.filter(
        (device) => (device === "d1" || device === "d2" ? X_KEY : deviceKey(device)) % 2n === 0n,
      );
      const halved = await readAverageScore(one, { ...about, events: 100_000 });
      const sum = some.reduce((all, device) => all + (exact[scored.indexOf(device)] as number), 0);
      expect(halved === undefined).toBe(some.length === 0);
      if (halved !== undefined) expect(Math.abs(halved - sum / some.length)).toBeLessThan(0.011);
      if (exact.length === 0) expect(average).toBe(undefined);
      else expect(Math.abs((average as number) - rounded(mean))).toBeLessThan(0.011);
    }
  });
});

it("an event's score is of what had come and was known with it, whatever comes later", async () => {
  await overHistories(async (seen) => {
    const asking = table.asking();
    for (const { id, device, at, position = 0 } of seen) {
      const found = await readEvent(asking, id);
      if (device === undefined) expect(found).toBe("nobody");
      if (found === undefined || found === "nobody") continue;
      const visitor = visitorOf(device as string);
      const until = (byVisitor(seen).get(visitor) ?? [])
        .filter((one) => (one.position ?? 0) <= position)
        .filter((one) => one.at < at || (one.at === at && one.id <= id));
      expect(await readSumsAt(asking, found)).toEqual(plainSums(until, visitor, at));
    }
    expect(await readEvent(asking, "e99")).toBe(undefined);
  });
});
