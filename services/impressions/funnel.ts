import type { ServiceImpl } from "@connectrpc/connect";
import type { FunnelService, GetProgramFunnelRequest } from "#gen/waymark/impressions/v1/funnel_pb.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import { isTimezone } from "#runtime/routing.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import { type Grouping, groupsOf } from "./funnel-groups.ts";
import { type Steps, scannedIn, toSteps, type Window, walkReferrals } from "./funnel-steps.ts";
import { msOf } from "./messages.ts";
import { impressionModel, programModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { getOwn } from "./store.ts";

const BY = ["poster", "student", "day"] as const;
const LIMIT = 100;
const LIMIT_MAX = 1_000;

/** The funnel of the Impressions API. */
export function funnelHandlers({ store }: ServiceDeps): ServiceImpl<typeof FunnelService> {
  return {
    async getProgramFunnel(request, handler) {
      const { principal } = contextOf(handler);
      const { by, window, zone } = readQuestion(request);
      const program = await getOwn(store.collection(programModel), request.programId, principal);
      if (program === undefined) throw fail("PROGRAM_NOT_FOUND", { id: request.programId });
      const { since, until } = request;
      const page = { limit: Math.min(request.limit ?? LIMIT, LIMIT_MAX), skip: request.offset };
      const grouping = by && (await groupsOf({ by, programId: program.id, window, zone, page }, store, principal));
      return {
        programId: program.id,
        since,
        until,
        ...(await answer(program.id, { store, principal, window, grouping })),
      };
    },
  };
}

function readQuestion(request: GetProgramFunnelRequest) {
  const by = BY.find((word) => word === request.by);
  if (request.by !== "" && by === undefined)
    throw refuse("INVALID_FIELD", { field: "by", must: `must be one of ${BY.join(", ")}` });
  const window: Window = { since: msOf(request.since), until: msOf(request.until) };
  if (window.since !== undefined && window.until !== undefined && window.until < window.since)
    throw refuse("INVALID_FIELD", { field: "until", must: "must not be before since" });
  const zone = request.timezone || "UTC";
  if (!isTimezone(zone)) throw refuse("INVALID_FIELD", { field: "timezone", must: "must be an IANA time zone" });
  return { by, window, zone };
}

interface Asked {
  store: Store;
  principal: Principal;
  window: Window;
  grouping: Grouping | undefined;
}

/** Referrals are read once, in chunks, and counted where they belong; impressions are counted by the store. */
async function answer(programId: string, { store, principal, window, grouping }: Asked) {
  const impressions = store.collection(impressionModel).of(principal.workspace);
  const where = { test: principal.test, programId, ...scannedIn(window) };
  const all: Steps = { impressions: await impressions.count(where), ...empty() };
  const groups = new Map(grouping?.groups.map(({ key, impressions: n }) => [key, { impressions: n, ...empty() }]));
  await walkReferrals({ programId, window, store, principal }, (met) => {
    const group = grouping === undefined ? undefined : groups.get(grouping.keyOf(met));
    return group === undefined ? [all] : [all, group];
  });
  return {
    steps: toSteps(all),
    groups: (grouping?.groups ?? []).map(({ key, label }) => ({
      key,
      label,
      steps: toSteps(groups.get(key) ?? { impressions: 0, ...empty() }),
    })),
    totalGroups: BigInt(grouping?.total ?? 0),
  };
}

function empty(): Omit<Steps, "impressions"> {
  return { referrals: 0, converted: 0, verified: 0, rejected: 0, earnings: new Map() };
}
