import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BIGINT, BOOLEAN, DOUBLE, type DuckDBType, type DuckDBValue, LIST, listValue, VARCHAR } from "@duckdb/node-api";
import { DeviceType } from "#gen/waymark/events/v1/touches_pb.ts";
import { deviceKey } from "../device-key.ts";
import { type Duck, openDuck } from "../engine/duck.ts";
import { TYPES, toColumns } from "../feed/columns.ts";
import { FINGERPRINT, SCHEMA } from "../feed/schema.ts";
import type { Scope } from "../scope.ts";
import { NOW } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

const DAY = 86_400_000;
/** A value of a field; undefined is unknown. */
export type Value = string | number | boolean | readonly string[] | undefined;

/** Devices: d1 and d2 are Ada, d3 was identified without a word, d4 is anonymous; "" is nobody. */
const PEOPLE = [
  { id: "vis_d1", devices: ["d1", "d2"], email: "ada@example.com", plan: "gold", seats: 4 },
  { id: "vis_d3", devices: ["d3"], email: undefined, plan: undefined, seats: 10.5 },
] as const;
const LINKS = [
  { id: "link_1", name: "Menu", tags: ["spring", "table"] },
  { id: "link_2", name: "Poster", tags: [] as string[] },
] as const; // link_3 is not known

/** Events of the workspace "acme", in the order of their arrival. */
export const EVENTS = Array.from({ length: 60 }, (_, n) => ({
  id: `e${n}`,
  at: NOW - ((n * 7) % 60) * (DAY / 4),
  deviceId: ["d1", "d2", "d3", "d4", ""][n % 5] as string,
  codeId: `link_${1 + (n % 3)}`,
  country: ["DE", "FR", "", "de"][n % 4] as string,
  asn: [0, 3320, 42][n % 3] as number,
  type: [DeviceType.UNSPECIFIED, DeviceType.MOBILE, DeviceType.DESKTOP][(n >> 1) % 3] as DeviceType,
  messages: n % 7 === 0 ? 3 : 0,
}));
type Event = (typeof EVENTS)[number];

const personOf = (device: string) => PEOPLE.find(({ devices }) => (devices as readonly string[]).includes(device));
/** The visitor that a device belongs to. */
export const visitorOf = (device: string) => (device === "" ? undefined : (personOf(device)?.id ?? `vis_${device}`));
const pastOf = (visitor: string | undefined) =>
  EVENTS.filter(({ deviceId }) => visitor && visitorOf(deviceId) === visitor);
/** By time; of the same time the one that came first. */
const inOrder = (events: readonly Event[]) =>
  events.toSorted((a, b) => a.at - b.at || EVENTS.indexOf(a) - EVENTS.indexOf(b));
const known = (text: string): string | undefined => text || undefined;
const WORDS = ["DEVICE_TYPE_UNKNOWN", "DEVICE_TYPE_MOBILE", "DEVICE_TYPE_TABLET", "DEVICE_TYPE_DESKTOP"];

/** What each field of an event is, in plain code. */
export const OF_EVENTS: Readonly<Record<string, (event: Event) => Value>> = {
  id: ({ id }) => id,
  country: ({ country }) => known(country),
  asn: ({ asn }) => asn || undefined,
  scannedAt: ({ at }) => at,
  deviceType: ({ type }) => WORDS[type],
  conversationMessages: ({ messages }) => messages,
  conversationStarted: ({ messages }) => messages > 0,
  visitorId: ({ deviceId }) => visitorOf(deviceId),
  visitType: (event) => {
    const mine = EVENTS.filter(({ deviceId, codeId }) => deviceId === event.deviceId && codeId === event.codeId);
    if (event.deviceId === "") return undefined;
    return inOrder(mine)[0] === event ? "VISIT_TYPE_FIRST" : "VISIT_TYPE_RETURNING";
  },
  linkName: ({ codeId }) => LINKS.find(({ id }) => id === codeId)?.name,
  tag: ({ codeId }) => LINKS.find(({ id }) => id === codeId)?.tags,
  email: ({ deviceId }) => personOf(deviceId)?.email,
  identified: ({ deviceId }) => personOf(deviceId) !== undefined,
  "attributes.plan": ({ deviceId }) => personOf(deviceId)?.plan,
  "attributes.seats": ({ deviceId }) => personOf(deviceId)?.seats,
  visitCount: ({ deviceId }) => pastOf(visitorOf(deviceId)).length || undefined,
};

const lastOf = (visitor: string) => inOrder(pastOf(visitor)).at(-1) as Event;
/** What each field of a visitor is, in plain code. */
export const OF_VISITORS: Readonly<Record<string, (visitor: string) => Value>> = {
  id: (visitor) => visitor,
  country: (visitor) => known(lastOf(visitor).country),
  asn: (visitor) => lastOf(visitor).asn || undefined,
  email: (visitor) => PEOPLE.find(({ id }) => id === visitor)?.email,
  identified: (visitor) => PEOPLE.some(({ id }) => id === visitor),
  "attributes.plan": (visitor) => PEOPLE.find(({ id }) => id === visitor)?.plan,
  visitCount: (visitor) => pastOf(visitor).length,
  linkCount: (visitor) => new Set(pastOf(visitor).map(({ codeId }) => codeId)).size,
  deviceCount: (visitor) => new Set(pastOf(visitor).map(({ deviceId }) => deviceId)).size,
  lastAt: (visitor) => lastOf(visitor).at,
  daysSinceLast: (visitor) => Math.floor((NOW - lastOf(visitor).at) / DAY),
  conversations: (visitor) => pastOf(visitor).filter(({ messages }) => messages > 0).length,
};

const OWN: readonly [string, boolean] = ["acme", false];
/** The scope of all of these events. */
export const SCOPE: Scope = {
  sql: "workspace = $workspace AND human AND test = $test",
  params: { workspace: "acme", test: false },
  asked: [],
};

/** Opens a file with these events and people, and the same events in another workspace. */
export async function openPeople(): Promise<{ duck: Duck; close: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-where-"));
  const duck = await openDuck({
    path: join(folder, "a.duckdb"),
    memoryMb: 256,
    schema: SCHEMA,
    fingerprint: FINGERPRINT,
  });
  const arrived = ["acme", "other"].flatMap((workspaceId) =>
    EVENTS.map(({ country, asn, type, messages, ...event }, position) => ({
      touch: touchOf({
        ...event,
        workspaceId,
        place: { country, asn },
        device: { type },
        conversationMessages: messages,
      }),
      position,
      recordedAt: NOW,
    })),
  );
  const people = PEOPLE.map(({ id, email = null, devices }) => [...OWN, deviceKey(devices[0]), id, email, BigInt(NOW)]);
  const identities = PEOPLE.flatMap(({ id, devices }) =>
    devices.map((device) => [...OWN, deviceKey(device), device, deviceKey(devices[0]), id]),
  );
  const attributes = PEOPLE.flatMap(({ devices, plan, seats }) => [
    ...(plan === undefined ? [] : [[...OWN, deviceKey(devices[0]), "plan", plan, null]]),
    [...OWN, deviceKey(devices[0]), "seats", String(seats), seats],
  ]);
  const links = LINKS.map(({ id, name, tags }) => [...OWN, id, name, listValue(tags)]);
  await duck.write(async ({ run, append }) => {
    const columns = toColumns(arrived);
    const slice = (begin: number, end: number) => columns.map((one) => one.slice(begin, end));
    await append("events", { types: TYPES, length: arrived.length, slice });
    const fill = async (table: string, names: string, types: DuckDBType[], rows: DuckDBValue[][]) => {
      await run(`CREATE TABLE given AS SELECT ${names} FROM ${table} LIMIT 0`);
      const part = (begin: number, end: number) =>
        types.map((_t, n) => rows.slice(begin, end).map((row) => row[n] ?? null));
      await append("given", { types, length: rows.length, slice: part });
      await run(`INSERT INTO ${table} (${names}) SELECT * FROM given`);
      await run("DROP TABLE given");
    };
    const key = [VARCHAR, BOOLEAN, BIGINT];
    await fill(
      "visitors",
      "workspace, test, visitor_key, visitor_id, email, identified_at",
      [...key, VARCHAR, VARCHAR, BIGINT],
      people,
    );
    await fill(
      "identities",
      "workspace, test, device_key, device_id, visitor_key, visitor_id",
      [...key, VARCHAR, BIGINT, VARCHAR],
      identities,
    );
    await fill(
      "attributes",
      "workspace, test, visitor_key, key, text, number",
      [...key, VARCHAR, VARCHAR, DOUBLE],
      attributes,
    );
    await fill(
      "links",
      "workspace, test, link_id, name, tags",
      [VARCHAR, BOOLEAN, VARCHAR, VARCHAR, LIST(VARCHAR)],
      links,
    );
  });
  const close = async () => {
    await duck.close();
    rmSync(folder, { recursive: true });
  };
  return { duck, close };
}
