import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { BIGINT, BOOLEAN, DOUBLE, type DuckDBType, type DuckDBValue, VARCHAR } from "@duckdb/node-api";
import { VisitorChange, type VisitorChanged, VisitorChangedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Store } from "#runtime/store.ts";
import { deviceKey } from "../device-key.ts";
import type { Duck, Writer } from "../engine/duck.ts";
import { deviceOf, visitorOf } from "../rules.ts";
import { docIdOf, visitorsOf } from "../visitors/documents.ts";
import type { VisitorDoc } from "../visitors/model.ts";
import { isLive } from "../visitors/rules.ts";
import type { Apply, ChangeDeps } from "./changes.ts";

/** A change as it stands on the log. */
interface Told {
  change: VisitorChanged;
  position: number;
  at: number;
}

/** Who is who: the tables get visitors as they are known now, and lose the events of those who were forgotten. */
export async function visitorChanges(entries: readonly LogEntry[], { store }: ChangeDeps): Promise<Apply> {
  const told = entries.flatMap(read);
  const worlds = Map.groupBy(told, ({ change }) => `${change.test}/${change.workspaceId}`);
  const docs = new Map<string, VisitorDoc[]>();
  for (const [world, some] of worlds) docs.set(world, await load(store, some));
  return async (writer) => {
    for (const [world, some] of worlds) {
      const { workspaceId: workspace, test } = (some[0] as Told).change;
      const known = docs.get(world) ?? [];
      const marked = new Set<string>();
      for (const one of some) {
        if (one.change.change === VisitorChange.ERASED) await erase(writer, one);
        if (one.change.change !== VisitorChange.MERGED) continue;
        for (const device of await markMerged(writer, one, known)) marked.add(device);
      }
      const position = some.at(-1)?.position ?? 0;
      await writeVisitors(writer, { workspace, test, position, docs: known, ids: idsIn(some), marked });
      await writeGone(writer, { workspace, test, position, docs: known });
    }
  };
}

function read({ payload, position, appendedAt }: LogEntry): Told[] {
  try {
    const change = fromBinary(VisitorChangedSchema, payload);
    return [{ change, position, at: change.changedAt === undefined ? appendedAt : timestampMs(change.changedAt) }];
  } catch {
    return [];
  }
}

function idsIn(told: readonly Told[]): string[] {
  const erased = told.flatMap(({ change }) => change.deviceIds.map((device) => `vis_${device}`));
  return [...new Set([...told.flatMap(({ change }) => [change.visitorId, ...change.mergedIds]), ...erased])];
}

/** Documents of all that may have changed, and of the visitors that they are part of now. */
async function load(store: Store, told: readonly Told[]): Promise<VisitorDoc[]> {
  const { workspaceId: workspace, test } = (told[0] as Told).change;
  const visitors = visitorsOf({ store, workspace });
  const docs = new Map<string, VisitorDoc>();
  for (let ids = idsIn(told); ids.length > 0; ) {
    const found = await visitors.getMany(ids.map((id) => docIdOf(test, id)));
    for (const doc of found.values()) docs.set(doc.visitorId, doc);
    ids = [...found.values()].flatMap(({ mergedInto = "" }) =>
      mergedInto === "" || docs.has(mergedInto) ? [] : [mergedInto],
    );
  }
  return [...docs.values()];
}

/** Takes away the events of devices up to a position, and notes which; a repetition finds none. */
async function erase({ run }: Writer, { change, position, at }: Told): Promise<void> {
  if (change.deviceIds.length === 0) return;
  const params = {
    workspace: change.workspaceId,
    test: change.test,
    ...{ keys: change.deviceIds.map(deviceKey), devices: change.deviceIds },
    position: BigInt(position),
  };
  const where = `workspace = $workspace AND test = $test AND device_key IN (SELECT unnest($keys))
    AND list_contains($devices, device_id) AND position <= $position`;
  await run(
    `INSERT INTO tombstones SELECT workspace, test, id, link_id, position, $position, $at, 'erased' FROM events WHERE ${where}`,
    { ...params, at: BigInt(Math.floor(at)) },
  );
  await run(`DELETE FROM events WHERE ${where}`, params);
}

/**
 * Two visitors became one: who keeps a copy of their events learns it at this position, in every table that is made from the
 * log, whenever it is made. The devices whose events are marked.
 */
async function markMerged(
  { run }: Writer,
  { change, position }: Told,
  docs: readonly VisitorDoc[],
): Promise<readonly string[]> {
  const { workspaceId: workspace, test, visitorId, mergedIds } = change;
  const stays = docs.find((doc) => doc.visitorId === visitorId);
  const devices = [...mergedIds.map(deviceOf), ...(stays?.devices ?? [])];
  if (devices.length > 0)
    await run(
      `UPDATE events SET changed = $position WHERE ${OWN} AND changed < $position AND position <= $position
        AND device_key IN (SELECT unnest($keys))`,
      { workspace, test, position: BigInt(position), keys: devices.map(deviceKey) },
    );
  return devices;
}

/** Visitors of one world, as they are known at a position. */
interface Writing {
  workspace: string;
  test: boolean;
  position: number;
  docs: readonly VisitorDoc[];
  /** All that may have changed, those of whom nothing is known any more too. */
  ids: readonly string[];
  /** Devices whose events were marked already as another visitor's. */
  marked: ReadonlySet<string>;
}

const OWN = "workspace = $workspace AND test = $test";

async function writeVisitors(writer: Writer, writing: Writing): Promise<void> {
  const { workspace, test, position, docs, ids, marked } = writing;
  if (ids.length === 0) return;
  const own = { workspace, test };
  const live = docs.filter(isLive);
  const devices = ownersOf(live);
  const keys = [...ids.map((id) => deviceKey(deviceOf(id))), ...devices.map(({ device }) => deviceKey(device))];
  await markMoved(writer, { own, devices: devices.filter(({ device }) => !marked.has(device)), position });
  for (const table of ["visitors", "attributes"])
    await writer.run(`DELETE FROM ${table} WHERE ${OWN} AND visitor_key IN (SELECT unnest($keys))`, { ...own, keys });
  await writer.run(
    `DELETE FROM identities WHERE ${OWN} AND (device_key IN (SELECT unnest($keys)) OR visitor_key IN (SELECT unnest($keys)))`,
    { ...own, keys },
  );
  await appendRows(
    writer,
    "identities",
    IDENTITY_TYPES,
    devices.map(({ device, visitorId }) => [
      ...[workspace, test, deviceKey(device), device],
      ...[deviceKey(deviceOf(visitorId)), visitorId],
    ]),
  );
  await appendRows(
    writer,
    "visitors",
    VISITOR_TYPES,
    live.map((doc) => visitorRow(doc, writing)),
  );
  await appendRows(
    writer,
    "attributes",
    ATTRIBUTE_TYPES,
    live.flatMap((doc) => attributeRows(doc, writing)),
  );
}

/** Notes who is there no more, as a visitor of their own. */
async function writeGone(
  writer: Writer,
  { workspace, test, position, docs }: Pick<Writing, "workspace" | "test" | "position" | "docs">,
): Promise<void> {
  if (docs.length === 0) return;
  const keys = docs.map(({ visitorId }) => deviceKey(deviceOf(visitorId)));
  const params = { workspace, test, keys };
  await writer.run(`DELETE FROM gone_visitors WHERE ${OWN} AND visitor_key IN (SELECT unnest($keys))`, params);
  const rows = docs.flatMap(({ visitorId, mergedInto, erasedAt, updatedAt }, index): DuckDBValue[][] => {
    if (mergedInto === undefined && erasedAt === undefined) return [];
    const reason = mergedInto === undefined ? "erased" : "merged";
    const goneAt = BigInt(erasedAt ?? updatedAt);
    return [[workspace, test, keys[index] as bigint, visitorId, BigInt(position), goneAt, reason]];
  });
  await appendRows(writer, "gone_visitors", GONE_TYPES, rows);
}

/** Whose each device is. While two visitors are being made one both have a device; then it is not its own visitor's. */
function ownersOf(docs: readonly VisitorDoc[]): { device: string; visitorId: string }[] {
  const owners = new Map<string, string>();
  for (const { visitorId, devices } of docs)
    for (const device of devices)
      if (!owners.has(device) || visitorId !== visitorOf(device)) owners.set(device, visitorId);
  return [...owners].map(([device, visitorId]) => ({ device, visitorId }));
}

/** Events whose visitor is another now have changed: who keeps a copy of them learns it. */
async function markMoved(
  { run }: Writer,
  given: {
    own: { workspace: string; test: boolean };
    devices: readonly { device: string; visitorId: string }[];
    position: number;
  },
): Promise<void> {
  const { own, devices, position } = given;
  const moved = devices.filter(({ device, visitorId }) => visitorId !== `vis_${device}`);
  if (moved.length === 0) return;
  await run(
    `UPDATE events SET changed = $position WHERE ${OWN} AND changed < $position AND device_key IN (
      SELECT d.device FROM (SELECT unnest($devices) AS device, unnest($visitors) AS visitor) d
      LEFT JOIN (SELECT device_key, visitor_key FROM identities WHERE ${OWN}) i ON i.device_key = d.device
      WHERE coalesce(i.visitor_key, d.device) <> d.visitor)`,
    {
      ...own,
      position: BigInt(position),
      devices: moved.map(({ device }) => deviceKey(device)),
      visitors: moved.map(({ visitorId }) => deviceKey(deviceOf(visitorId))),
    },
  );
}

const IDENTITY_TYPES: readonly DuckDBType[] = [VARCHAR, BOOLEAN, BIGINT, VARCHAR, BIGINT, VARCHAR];
const VISITOR_TYPES: readonly DuckDBType[] = [
  ...[VARCHAR, BOOLEAN, BIGINT, VARCHAR, VARCHAR, VARCHAR, VARCHAR, VARCHAR],
  ...[BIGINT, BIGINT, BIGINT],
];
const GONE_TYPES: readonly DuckDBType[] = [VARCHAR, BOOLEAN, BIGINT, VARCHAR, BIGINT, BIGINT, VARCHAR];
const ATTRIBUTE_TYPES: readonly DuckDBType[] = [
  ...[VARCHAR, BOOLEAN, BIGINT, VARCHAR, VARCHAR, VARCHAR, DOUBLE, BOOLEAN, BIGINT, BIGINT],
];

function visitorRow(doc: VisitorDoc, { workspace, test, position }: Writing): DuckDBValue[] {
  return [
    ...[workspace, test, deviceKey(deviceOf(doc.visitorId)), doc.visitorId],
    ...[doc.email ?? null, doc.phone ?? null, doc.firstName ?? null, doc.lastName ?? null],
    ...[doc.identifiedAt === undefined ? null : BigInt(doc.identifiedAt), BigInt(doc.updatedAt), BigInt(position)],
  ];
}

function attributeRows(doc: VisitorDoc, { workspace, test }: Writing): DuckDBValue[][] {
  const key = deviceKey(deviceOf(doc.visitorId));
  return Object.entries(doc.attributes).map(([name, { type, text, number, truth, time, at }]) => [
    ...[workspace, test, key, name, type, text, number ?? null, truth ?? null],
    ...[time === undefined ? null : BigInt(time), BigInt(at)],
  ]);
}

async function appendRows(
  { append }: Writer,
  table: string,
  types: readonly DuckDBType[],
  rows: readonly DuckDBValue[][],
): Promise<void> {
  if (rows.length === 0) return;
  const slice = (begin: number, end: number) =>
    types.map((_type, column) => rows.slice(begin, end).map((row) => row[column] ?? null));
  await append(table, { types, length: rows.length, slice });
}

/** Visitors of a workspace are made anew from the store, when the log has let go of what was said about them. */
export async function restoreVisitors(workspace: string, position: number, { store }: ChangeDeps) {
  return async (duck: Duck): Promise<void> => {
    for await (const docs of visitorsOf({ store, workspace }).stream({}))
      for (const [test, some] of Map.groupBy(docs, (doc) => doc.test))
        await duck.write(async (writer) => {
          // What is part of another is written with that one, which may come in another chunk.
          const live = some.filter(isLive);
          const ids = live.map(({ visitorId }) => visitorId);
          await writeVisitors(writer, { workspace, test, position, docs: live, ids, marked: new Set() });
          await writeGone(writer, { workspace, test, position, docs: some });
        });
  };
}
