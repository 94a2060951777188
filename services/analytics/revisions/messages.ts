import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type IdentityRules as AskedIdentity,
  type RevisionDifferenceSchema,
  type RevisionNumbersSchema,
  type RevisionRules,
  type RevisionRulesSchema,
  type RevisionSchema,
  RevisionStatus,
} from "#gen/waymark/analytics/v1/revisions_pb.ts";
import type { Difference, IdentityRules, Numbers, RevisionDoc, Rules, State } from "./model.ts";

const STATES: Readonly<Record<State, RevisionStatus>> = {
  queued: RevisionStatus.QUEUED,
  running: RevisionStatus.RUNNING,
  ready: RevisionStatus.READY,
  applying: RevisionStatus.APPLYING,
  applied: RevisionStatus.APPLIED,
  failed: RevisionStatus.FAILED,
  discarded: RevisionStatus.UNSPECIFIED, // it is found by nobody
};

/** Whether there is anything to judge by. */
export function hasRules(rules: Rules): boolean {
  return rules.builtIn || hasOwnRules(rules);
}

/** Whether there is anything to judge by that is not built in. */
export function hasOwnRules({ userAgentContains, deviceIds, asns, maxPerMinute, identity }: Rules): boolean {
  const hasList = userAgentContains.length + deviceIds.length + asns.length > 0;
  return hasList || maxPerMinute !== undefined || identity !== undefined;
}

/** The rules of a request, each value once. */
export function rulesOf(asked: Pick<RevisionRules, "bots" | "identity"> | undefined): Rules {
  const { bots, identity } = asked ?? {};
  const { builtIn = false, userAgentContains = [], deviceIds = [], asns = [] } = bots ?? {};
  const maxPerMinute = bots?.maxScansPerMinutePerDevice;
  return {
    builtIn,
    userAgentContains: [...new Set(userAgentContains.map((text) => text.toLowerCase()))],
    deviceIds: [...new Set(deviceIds.map((id) => (id.startsWith("vis_") ? id.slice(4) : id)))],
    asns: [...new Set(asns)],
    ...(maxPerMinute !== undefined && { maxPerMinute }),
    ...identityOf(identity),
  };
}

function identityOf(asked: AskedIdentity | undefined): Pick<Rules, "identity"> {
  const { ignoreVersions = false, devices, maxScansPerDayPerDevice: maxPerDay } = asked ?? {};
  if (!ignoreVersions && devices === undefined && maxPerDay === undefined) return {};
  const identity: IdentityRules = { ignoreVersions };
  if (devices !== undefined) identity.devices = devices;
  if (maxPerDay !== undefined) identity.maxPerDay = maxPerDay;
  return { identity };
}

function shownRules(rules: Rules): MessageInitShape<typeof RevisionRulesSchema> {
  const { builtIn, userAgentContains, deviceIds, asns, maxPerMinute, identity } = rules;
  const lists = { userAgentContains: [...userAgentContains], deviceIds: [...deviceIds], asns: [...asns] };
  return {
    bots: { builtIn, ...lists, maxScansPerMinutePerDevice: maxPerMinute },
    ...(identity !== undefined && { identity: shownIdentity(identity) }),
  };
}

function shownIdentity({ ignoreVersions, devices, maxPerDay }: IdentityRules) {
  return { ignoreVersions, devices, maxScansPerDayPerDevice: maxPerDay };
}

/** A revision; `userAgents`: those of its sample, by event, as far as they are kept now. Without them it is shown in short. */
export function shown(
  doc: RevisionDoc,
  userAgents?: ReadonlyMap<string, string>,
): MessageInitShape<typeof RevisionSchema> {
  const time = (ms: number | undefined) => (ms === undefined ? undefined : timestampFromMs(ms));
  return {
    id: doc.id,
    status: STATES[doc.state],
    progress: doc.progress,
    startDate: time(doc.start),
    endDate: time(doc.end),
    linkId: doc.linkId,
    rules: shownRules(doc.rules),
    rulesVersion: doc.rulesVersion ?? "",
    difference: doc.difference && differenceOf(doc.difference, doc.upTo ?? 0, userAgents),
    applied: BigInt(doc.applied),
    createdAt: time(doc.createdAt),
    computedAt: time(doc.computedAt),
    revisedAt: time(doc.revisedAt),
    appliedAt: time(doc.appliedAt),
    error: doc.error,
  };
}

function differenceOf(
  difference: Difference,
  upTo: number,
  userAgents: ReadonlyMap<string, string> | undefined,
): MessageInitShape<typeof RevisionDifferenceSchema> {
  const { considered, changed, unjudged, unjudgedDevices = 0, moves, deviceMoves = [], totals } = difference;
  const sums = {
    upTo: BigInt(upTo),
    considered: BigInt(considered),
    changed: BigInt(changed),
    unjudged: BigInt(unjudged),
    unjudgedDevices: BigInt(unjudgedDevices),
    deviceMoves: deviceMoves.map(({ change, touches }) => ({ change, touches: BigInt(touches) })),
    moves: moves.map(({ from, to, touches }) => ({ fromReason: from, toReason: to, touches: BigInt(touches) })),
    totals: numbersOf(totals),
  };
  if (userAgents === undefined) return sums;
  return {
    ...sums,
    byLink: difference.byLink.map((one) => ({ linkId: one.linkId, ...changeOf(one) })),
    byDay: difference.byDay.map((one) => ({ date: one.date, ...changeOf(one) })),
    sample: difference.sample.map(({ id, linkId, scannedAt, from, to, actor, device }) => ({
      ...{ eventId: id, linkId, scannedAt: timestampFromMs(scannedAt), deviceChange: device },
      ...{ fromReason: from, toReason: to, actor, userAgent: userAgents.get(id) },
    })),
  };
}

function changeOf({ changed, numbers }: { changed: number; numbers: Numbers }) {
  return { changed: BigInt(changed), numbers: numbersOf(numbers) };
}

function numbersOf(numbers: Numbers): MessageInitShape<typeof RevisionNumbersSchema> {
  return {
    eventsBefore: BigInt(numbers.eventsBefore),
    eventsAfter: BigInt(numbers.eventsAfter),
    visitorsBefore: BigInt(numbers.visitorsBefore),
    visitorsAfter: BigInt(numbers.visitorsAfter),
  };
}
