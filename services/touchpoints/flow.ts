import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GetTouchpointFlowResponseSchema, TouchpointDwellSchema } from "#gen/waymark/touchpoints/v1/flow_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { percentOf } from "#runtime/percent.ts";
import type { Store } from "#runtime/store.ts";
import { type Durations, openDurations } from "./durations.ts";
import { type TouchpointDoc, type VisitDoc, visitModel } from "./model.ts";
import { findExperience, touchpointsOf } from "./store.ts";

/** What is answered at most. */
const MOST_TRANSITIONS = 1_000;

type Flow = MessageInitShape<typeof GetTouchpointFlowResponseSchema>;

/** The ways of users through an experience. Visits are read a user after the other; none are kept. */
export async function readFlow(experienceId: string, store: Store, principal: Principal): Promise<Flow> {
  await findExperience(experienceId, store, principal);
  const touchpoints = await touchpointsOf(experienceId, store, principal);
  const walk = openWalk();
  const visits = store.collection(visitModel).of(principal.workspace);
  const order = {
    where: { experienceId },
    sort: [
      ["userId", 1],
      ["at", 1],
    ],
  } as const;
  for await (const some of visits.stream(order)) for (const visit of some) walk.add(visit);
  const { stops, hops, users, total } = walk.end();
  return {
    experienceId,
    totalUsers: BigInt(users),
    totalVisits: BigInt(total),
    touchpoints: inOrder(touchpoints, stops).map((touchpoint) => toStop(touchpoint, stops.get(touchpoint.id))),
    transitions: transitionsOf(stops, hops),
  };
}

/** What happened at one touchpoint. */
interface Stop {
  visits: number;
  users: number;
  entries: number;
  drops: number;
  /** Sum of the steps at which users came first. */
  steps: number;
  dwell: Durations;
}

/** From each touchpoint to each next one. */
type Hops = Map<string, Map<string, Durations>>;

/** Where the user is whose visits are read. */
interface Stay {
  userId: string;
  touchpointId: string;
  since: number;
  step: number;
  met: Set<string>;
}

/** Walks after users: visits come a user after the other, those of one user in order. */
function openWalk() {
  const stops = new Map<string, Stop>();
  const hops: Hops = new Map();
  let stay: Stay | undefined;
  let [users, total] = [0, 0];
  const stopOf = (id: string): Stop => orMade(stops, id, openStop);
  const enter = ({ userId, touchpointId, at }: VisitDoc): void => {
    users += 1;
    stopOf(touchpointId).entries += 1;
    stay = { userId, touchpointId, since: at, step: 0, met: new Set() };
    arrive(stay, stopOf(touchpointId));
  };
  const leave = (): void => {
    if (stay !== undefined) stopOf(stay.touchpointId).drops += 1;
  };
  const move = (from: Stay, { touchpointId, at }: VisitDoc): void => {
    const ms = at - from.since;
    stopOf(from.touchpointId).dwell.add(ms);
    orMade(
      orMade(hops, from.touchpointId, () => new Map()),
      touchpointId,
      openDurations,
    ).add(ms);
    stay = { ...from, touchpointId, since: at };
    arrive(stay, stopOf(touchpointId));
  };
  return {
    add: (visit: VisitDoc): void => {
      total += 1;
      stopOf(visit.touchpointId).visits += 1;
      if (stay?.userId !== visit.userId) {
        leave();
        enter(visit);
      } else if (stay.touchpointId !== visit.touchpointId) move(stay, visit);
    },
    end: () => {
      leave();
      stay = undefined;
      return { stops, hops, users, total };
    },
  };
}

function openStop(): Stop {
  return { visits: 0, users: 0, entries: 0, drops: 0, steps: 0, dwell: openDurations() };
}

/** A step further; a touchpoint that the user has not met before notes which step it is. */
function arrive(stay: Stay, stop: Stop): void {
  stay.step += 1;
  if (stay.met.has(stay.touchpointId)) return;
  stay.met.add(stay.touchpointId);
  stop.users += 1;
  stop.steps += stay.step;
}

function orMade<V>(map: Map<string, V>, key: string, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** By the step at which users come first, on average; those where nobody came last; ties in order of creation. */
function inOrder(touchpoints: readonly TouchpointDoc[], stops: ReadonlyMap<string, Stop>): TouchpointDoc[] {
  const stepOf = ({ id }: TouchpointDoc): number => {
    const stop = stops.get(id);
    return stop === undefined ? Number.MAX_VALUE : stop.steps / stop.users;
  };
  return touchpoints.toSorted((one, other) => stepOf(one) - stepOf(other));
}

function toStop({ id, name, value }: TouchpointDoc, stop: Stop = openStop()) {
  return {
    id,
    name,
    value,
    totalVisits: BigInt(stop.visits),
    uniqueVisits: BigInt(stop.users),
    entries: BigInt(stop.entries),
    drops: BigInt(stop.drops),
    dropRate: percentOf(stop.drops, stop.users),
    averageStep: stop.users === 0 ? undefined : round(stop.steps / stop.users),
    dwell: toDwell(stop.dwell),
  };
}

function toDwell({ count, average, percentile }: Durations): MessageInitShape<typeof TouchpointDwellSchema> {
  const quantiles = { medianSeconds: percentile(50), p90Seconds: percentile(90) };
  return { count: BigInt(count()), averageSeconds: average(), ...quantiles };
}

function transitionsOf(stops: ReadonlyMap<string, Stop>, hops: Hops) {
  const all = [...hops].flatMap(([from, tos]) => [...tos].map(([to, dwell]) => ({ from, to, dwell })));
  const name = ({ from, to }: { from: string; to: string }): string => `${from} ${to}`;
  return all
    .toSorted((one, other) => other.dwell.count() - one.dwell.count() || (name(one) < name(other) ? -1 : 1))
    .slice(0, MOST_TRANSITIONS)
    .map(({ from, to, dwell }) => ({
      from,
      to,
      count: BigInt(dwell.count()),
      percentage: percentOf(dwell.count(), stops.get(from)?.dwell.count() ?? 0),
      dwell: toDwell(dwell),
    }));
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
