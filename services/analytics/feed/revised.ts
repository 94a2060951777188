import { setImmediate as nextTurn } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type TouchesRevised,
  TouchesRevisedSchema,
  type TouchRevision,
} from "#gen/waymark/events/v1/corrections_pb.ts";
import { Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { deviceKey } from "../device-key.ts";
import type { Params } from "../engine/query.ts";
import type { Apply } from "./changes.ts";

/** How an event is judged from now on, after all that one segment of the log says of it. */
interface Revised {
  revision: Pick<TouchRevision, "touchId" | "verdict" | "verdictReason" | "actor" | "device" | "deviceId">;
  position: number;
  at: number;
  rules: string;
}

/** Texts of a device as columns of the table. What the user agent does not tell, its language, stays as it was. */
const DEVICE = {
  browser: "browser",
  browser_version: "browserVersion",
  platform: "platform",
  platform_version: "platformVersion",
  brand: "brand",
} as const;

const COLUMNS = Object.keys(DEVICE) as (keyof typeof DEVICE)[];
const TOLD = ["ids", "verdicts", "reasons", "actors", "kinds", ...COLUMNS, "positions", "times", "rules"];
const OWNERS = ["moves", "devices", "device_keys"];

const REVISE = `UPDATE events SET
    human = CASE WHEN told.verdicts = 0 THEN human ELSE told.verdicts = ${Verdict.HUMAN} END,
    reason = CASE WHEN told.verdicts = 0 THEN reason ELSE nullif(told.reasons, '') END,
    actor = CASE WHEN told.verdicts = 0 THEN actor ELSE nullif(told.actors, '') END,
    device_type = CASE WHEN told.kinds < 0 THEN device_type ELSE told.kinds END,
    ${COLUMNS.map((name) => `${name} = CASE WHEN told.kinds < 0 THEN events.${name} ELSE nullif(told.${name}, '') END`).join(", ")},
    device_id = CASE WHEN told.moves = 0 THEN events.device_id ELSE nullif(told.devices, '') END,
    device_key = CASE WHEN told.moves = 0 THEN events.device_key WHEN told.devices = '' THEN NULL ELSE told.device_keys END,
    changed = told.positions, revised_at = told.times, rules = told.rules
  FROM (SELECT ${[...TOLD, ...OWNERS].map((name) => `unnest($${name}) AS ${name}`).join(", ")}) told
  WHERE events.workspace = $workspace AND events.test = $test AND events.id = told.ids AND events.changed < told.positions`;

/** So many events are changed by one statement, which reads the ids of the table once. */
const EVENTS_AT_ONCE = 2_000;

/** Events were judged again: their rows are as they are judged now. */
export async function revisions(entries: readonly LogEntry[]): Promise<Apply> {
  const worlds = Map.groupBy(entries.flatMap(read), ({ said }) => `${said.test}/${said.workspaceId}`);
  return async ({ run }) => {
    for (const some of worlds.values()) {
      const { workspaceId: workspace, test } = (some[0] as Said).said;
      const all = foldOf(some);
      for (let first = 0; first < all.length; first += EVENTS_AT_ONCE) {
        await run(REVISE, { workspace, test, ...paramsOf(all.slice(first, first + EVENTS_AT_ONCE)) });
        await nextTurn();
      }
    }
  };
}

interface Said {
  said: TouchesRevised;
  position: number;
  at: number;
}

function read({ payload, position, appendedAt }: LogEntry): Said[] {
  try {
    const said = fromBinary(TouchesRevisedSchema, payload);
    if (said.revisions.length === 0) return [];
    return [{ said, position, at: said.revisedAt === undefined ? appendedAt : timestampMs(said.revisedAt) }];
  } catch {
    return [];
  }
}

/** What is said of each event in all: a later word replaces an earlier one of the same part. */
function foldOf(some: readonly Said[]): Revised[] {
  const fold = new Map<string, Revised>();
  for (const { said, position, at } of some)
    for (const next of said.revisions) {
      const before = fold.get(next.touchId)?.revision;
      const judged = next.verdict === Verdict.UNSPECIFIED && before !== undefined ? before : next;
      const { verdict, verdictReason, actor } = judged;
      const device = next.device ?? before?.device;
      const deviceId = next.deviceId ?? before?.deviceId;
      const given = { ...(device && { device }), ...(deviceId !== undefined && { deviceId }) };
      const revision = { touchId: next.touchId, verdict, verdictReason, actor, ...given };
      fold.set(next.touchId, { revision, position, at, rules: said.rules });
    }
  return [...fold.values()];
}

function paramsOf(revised: readonly Revised[]): Params {
  const all = (of: (one: Revised) => string): string[] => revised.map(of);
  const numbers = (of: (one: Revised) => number): bigint[] => revised.map((one) => BigInt(Math.floor(of(one))));
  const device = COLUMNS.map((name) => [name, all(({ revision }) => revision.device?.[DEVICE[name]] ?? "")]);
  return {
    ids: all(({ revision }) => revision.touchId),
    verdicts: numbers(({ revision }) => revision.verdict),
    reasons: all(({ revision }) => revision.verdictReason),
    actors: all(({ revision }) => revision.actor),
    kinds: numbers(({ revision }) => (revision.device === undefined ? -1 : kindOf(revision.device.type))),
    ...Object.fromEntries(device),
    moves: numbers(({ revision }) => (revision.deviceId === undefined ? 0 : 1)),
    devices: all(({ revision }) => revision.deviceId ?? ""),
    device_keys: revised.map(({ revision }) => deviceKey(revision.deviceId ?? "")),
    positions: numbers(({ position }) => position),
    times: numbers(({ at }) => at),
    rules: all(({ rules }) => rules),
  };
}

/** A kind of device that this version does not know is none. */
function kindOf(type: number): number {
  return type >= 0 && type <= 3 ? type : 0;
}
