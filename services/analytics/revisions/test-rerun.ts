import { create, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions } from "@connectrpc/connect";
import fc from "fast-check";
import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import {
  type BotRulesSchema,
  DeviceChange,
  DeviceMoveSchema,
  type IdentityRulesSchema,
  type Revision,
  RevisionDifferenceSchema,
  RevisionService,
  RevisionStatus,
} from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { decideLike, judgeLike, pseudonymLike } from "./test-judge.ts";

/** Rules of a request. */
export type Bots = MessageInitShape<typeof BotRulesSchema>;
export type Identity = MessageInitShape<typeof IdentityRulesSchema>;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const dayOf = (at: number): number => Math.floor(at / DAY_MS);

/** A touch of few values, so that rules meet it. */
function touch(workspaceId: string): fc.Arbitrary<Touch> {
  return fc
    .record({
      id: fc.integer({ min: 1, max: 60 }).map((n) => `scan_${n}`),
      codeId: fc.constantFrom("link_1", "link_2"),
      deviceId: fc.constantFrom("", "d1", "d2", "d3", "made", "made", "made"),
      isWhole: fc.constantFrom(true, true, false),
      span: fc.constantFrom("good" as const, "day" as const, "split" as const),
      ip: fc.constantFrom("", "203.0.113.1", "203.0.113.1", "203.0.113.2"),
      userAgent: fc.constantFrom("", "Safari/1", "Safari/2", "HeadlessChrome/2", "Robot/3"),
      method: fc.constantFrom("", "GET", "GET", "HEAD"),
      verdictReason: fc.constantFrom("", "", "", "isbot", "prefetch", "rate"),
      asn: fc.constantFrom(0, 64_500, 64_501),
      at: fc.integer({ min: 0, max: 8 }).map((n) => NOW - (n % 3) * DAY_MS - n * 17_000),
      test: fc.constantFrom(false, false, false, true),
    })
    .map(({ asn, verdictReason, isWhole, span, ...one }) => {
      const made = pseudonymLike(one, { isWhole, span, day: dayOf(one.at) });
      const deviceId = one.deviceId === "made" ? made : one.deviceId;
      const verdict = verdictReason === "" ? Verdict.HUMAN : Verdict.BOT;
      return touchOf({ ...one, deviceId, workspaceId, verdictReason, verdict, place: { asn } });
    });
}

/** Touches of a workspace. */
export const touches = (workspaceId: string): fc.Arbitrary<Touch[]> =>
  fc.array(touch(workspaceId), { minLength: 1, maxLength: 50 });

/** Rules, at least one. */
export const bots: fc.Arbitrary<Bots> = fc
  .record({
    builtIn: fc.boolean(),
    userAgentContains: fc.constantFrom([], [], ["headless"], ["ROBOT", "safari"]),
    deviceIds: fc.constantFrom([], [], ["d1"], ["vis_d2", "d3"]),
    asns: fc.constantFrom([], [], [64_500]),
    most: fc.constantFrom(0, 0, 1, 2),
  })
  .filter(
    ({ builtIn, userAgentContains, deviceIds, asns, most }) =>
      builtIn || userAgentContains.length + deviceIds.length + asns.length + most > 0,
  )
  .map(({ builtIn, userAgentContains, deviceIds, asns, most }) => ({
    ...{ builtIn, userAgentContains: [...userAgentContains], deviceIds: [...deviceIds], asns: [...asns] },
    ...(most > 0 && { maxScansPerMinutePerDevice: most }),
  }));

/** Identity rules, or none. */
export const identities: fc.Arbitrary<Identity | undefined> = fc
  .record({
    ignoreVersions: fc.boolean(),
    devices: fc.constantFrom(undefined, ...[1, 2, 3].map((setting) => setting as DeviceIdentitySetting)),
    most: fc.constantFrom(undefined, undefined, 1, 2),
  })
  .map(({ ignoreVersions, devices, most }) =>
    ignoreVersions || devices !== undefined || most !== undefined
      ? { ignoreVersions, ...(devices && { devices }), ...(most && { maxScansPerDayPerDevice: most }) }
      : undefined,
  );

/** A touch and what it is by other rules. */
export interface Rerun {
  touch: Touch;
  at: number;
  from: string;
  to: string;
  unjudged: boolean;
  /** Its device by the rules, and why it is another one. */
  device: string;
  change: DeviceChange;
  unjudgedDevice: boolean;
}

/** Devices of one visitor of whom something was said. */
export type Known = ReadonlySet<string>;

const NOBODY: Known = new Set();

/** What a person would find who goes through the touches of a range one by one. */
export function rerun(
  all: readonly Touch[],
  rules: Bots,
  { identity, known = NOBODY }: { identity?: Identity | undefined; known?: Known } = {},
): Rerun[] {
  const found = judgeAll(all, rules);
  if (identity !== undefined) for (const one of found) if (isAsked(one, known)) decide(one, identity);
  const most = identity?.maxScansPerDayPerDevice;
  if (most === undefined) return found;
  const days = Map.groupBy(
    found.filter(({ to, device }) => to === "" && device !== ""),
    ({ device, at }) => `${device} ${dayOf(at)}`,
  );
  for (const some of days.values())
    for (const one of some.length > most ? some : [])
      if (isAsked(one, known) && !known.has(one.device))
        Object.assign(one, { device: "", change: DeviceChange.SHARED });
  return found;
}

const isAsked = ({ touch, to }: Rerun, known: Known): boolean =>
  to === "" && touch.deviceId !== "" && !known.has(touch.deviceId);

function decide(one: Rerun, { ignoreVersions = false, devices }: Identity): void {
  const { NONE, DAILY, UNSPECIFIED } = DeviceIdentitySetting;
  if (devices === NONE) Object.assign(one, { device: "", change: DeviceChange.NONE });
  if (devices === NONE || (devices === undefined && !ignoreVersions)) return;
  const { deviceId, ip, userAgent } = one.touch;
  const kept = { deviceId, ip, userAgent, day: dayOf(one.at) };
  const decided = decideLike(kept, { ignoreVersions, devices: devices ?? UNSPECIFIED });
  const period = devices === DAILY ? DeviceChange.DAILY : DeviceChange.STABLE;
  const versions = decided.withoutVersions ? DeviceChange.VERSIONS : DeviceChange.UNSPECIFIED;
  one.device = decided.deviceId;
  one.change = decided.otherPeriod ? period : versions;
  one.unjudgedDevice = decided.unknown ?? false;
}

/** Who is a program, of touches that stay with their devices. */
function judgeAll(all: readonly Touch[], rules: Bots): Rerun[] {
  const {
    builtIn = false,
    userAgentContains = [],
    deviceIds = [],
    asns = [],
    maxScansPerMinutePerDevice: most,
  } = rules;
  const found = all.map((one): Rerun => {
    const { userAgent, method, verdictReason: from } = one;
    const judged = builtIn ? judgeLike({ userAgent, method, reason: from }) : { verdict: 0, reason: "" };
    const base = judged.verdict === Verdict.UNSPECIFIED ? from : (judged.reason ?? "");
    const own = () => {
      if (userAgentContains.some((part) => userAgent.toLowerCase().includes(part.toLowerCase()))) return "agent";
      if (deviceIds.some((device) => device.replace("vis_", "") === one.deviceId)) return "device";
      return asns.includes(one.place?.asn ?? 0) ? "network" : "";
    };
    const isBlind = builtIn && judged.verdict === Verdict.UNSPECIFIED;
    const unjudged = userAgent === "" && (isBlind || (userAgentContains.length > 0 && base === ""));
    const same = { device: one.deviceId, change: DeviceChange.UNSPECIFIED, unjudgedDevice: false };
    return {
      touch: one,
      at: one.scannedAt ? timestampMs(one.scannedAt) : 0,
      from,
      to: base || own(),
      unjudged,
      ...same,
    };
  });
  if (most === undefined) return found;
  const inOrder = found.toSorted((a, b) => a.at - b.at || (a.touch.id < b.touch.id ? -1 : 1));
  const seen = new Map<string, number>();
  for (const one of inOrder) {
    if (one.to !== "" || one.touch.deviceId === "") continue;
    const minute = `${one.touch.deviceId}/${Math.floor(one.at / MINUTE_MS)}`;
    seen.set(minute, (seen.get(minute) ?? 0) + 1);
    if ((seen.get(minute) ?? 0) > most) one.to = "rate";
  }
  return found;
}

/** How many visitors devices are: those that are known are one. */
const visitorsIn = (devices: readonly string[], known: Known) =>
  new Set(devices.filter((device) => device !== "").map((device) => (known.has(device) ? "known" : device))).size;

function numbersOf(some: readonly Rerun[], known: Known) {
  const before = some.filter(({ from }) => from === "").map(({ touch }) => touch.deviceId);
  const after = some.filter(({ to }) => to === "").map(({ device }) => device);
  return {
    ...{ eventsBefore: String(before.length), eventsAfter: String(after.length) },
    ...{ visitorsBefore: String(visitorsIn(before, known)), visitorsAfter: String(visitorsIn(after, known)) },
  };
}

const isChanged = ({ from, to, change }: Rerun): boolean => from !== to || change !== DeviceChange.UNSPECIFIED;

/** The difference by hand, as JSON, without position and sample. */
export function differenceByHand(found: readonly Rerun[], known: Known = NOBODY): unknown {
  const moved = found.filter(({ from, to }) => from !== to);
  const changeOf = (some: readonly Rerun[]) => {
    return { changed: String(some.filter(isChanged).length), numbers: numbersOf(some, known) };
  };
  const by = (name: (one: Rerun) => string) => [...Map.groupBy(found, name)].filter(([, some]) => some.some(isChanged));
  const changes = Map.groupBy(found, ({ change }) => change);
  changes.delete(DeviceChange.UNSPECIFIED);
  const deviceMoves = [...changes].map(([change, some]) =>
    toJson(DeviceMoveSchema, create(DeviceMoveSchema, { change, touches: BigInt(some.length) })),
  );
  const moves = [...Map.groupBy(moved, ({ from, to }) => JSON.stringify([from, to]))].map(([pair, some]) => {
    const [fromReason, toReason] = JSON.parse(pair);
    return { fromReason, toReason, touches: String(some.length) };
  });
  return {
    ...{ considered: String(found.length), changed: String(found.filter(isChanged).length) },
    unjudged: String(found.filter(({ unjudged }) => unjudged).length),
    unjudgedDevices: String(found.filter(({ unjudgedDevice }) => unjudgedDevice).length),
    deviceMoves: deviceMoves.toSorted(order),
    moves: moves.toSorted(order),
    totals: numbersOf(found, known),
    byLink: by(({ touch: { codeId } }) => codeId)
      .map(([linkId, some]) => ({ linkId, ...changeOf(some) }))
      .toSorted(order),
    byDay: by(({ at }) => new Date(at).toISOString().slice(0, 10))
      .map(([date, some]) => ({ date, ...changeOf(some) }))
      .toSorted(order),
  };
}

const order = (one: unknown, other: unknown) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);

/** The difference of a revision in the same form. */
export function differenceOf({ difference }: Revision): unknown {
  if (difference === undefined) return undefined;
  const json = toJson(RevisionDifferenceSchema, difference, { alwaysEmitImplicit: true }) as Record<string, unknown[]>;
  const { upTo: _at, sample: _some, ...rest } = json;
  const lists = ["moves", "byLink", "byDay", "deviceMoves"].map((name) => [name, rest[name]?.toSorted(order)]);
  return { ...rest, ...Object.fromEntries(lists) };
}

/** The last ten days. */
export const RANGE = { startDate: timestampFromMs(NOW - 10 * DAY_MS), endDate: timestampFromMs(NOW) };

/** Waits until a revision is in a state; answers with it. */
export async function reach(
  ground: Pick<AnalyticsGround, "client">,
  { id, state, by }: { id: string; state: RevisionStatus; by: CallOptions },
): Promise<Revision> {
  let last: Revision | undefined;
  await until(async () => {
    last = (await ground.client(RevisionService).getRevision({ id }, by)).revision;
    if (last?.status === RevisionStatus.FAILED) throw new Error(last.error);
    return last?.status === state;
  });
  return last as Revision;
}
