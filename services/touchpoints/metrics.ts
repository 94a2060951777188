import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { GetTouchpointMetricsResponseSchema } from "#gen/waymark/touchpoints/v1/metrics_pb.ts";
import type { Principal } from "#runtime/context.ts";
import type { Store } from "#runtime/store.ts";
import { toPagination, toVisitLine } from "./messages.ts";
import { countModel, type TouchpointDoc, touchpointModel, visitModel, visitorModel } from "./model.ts";
import { fail } from "./reasons.ts";
import type { Question } from "./rules.ts";
import { findExperience, findTouchpoint, touchpointsOf } from "./store.ts";

/** The reply's oneof: one of the four shapes. */
type Metrics = NonNullable<MessageInitShape<typeof GetTouchpointMetricsResponseSchema>["metrics"]>;
type About<K extends Question["about"]> = Extract<Question, { about: K }>;

/** Answers a metrics request, or refuses it when what it names does not exist for the caller. */
export async function answer(question: Question, store: Store, principal: Principal): Promise<Metrics> {
  switch (question.about) {
    case "EXPERIENCE":
      return { case: "experience", value: await experienceMetrics(question, store, principal) };
    case "USER":
      return { case: "user", value: await userMetrics(question, store, principal) };
    case "TOUCHPOINT":
      return touchpointMetrics(question, store, principal);
  }
}

async function experienceMetrics({ experienceId }: About<"EXPERIENCE">, store: Store, principal: Principal) {
  await findExperience(experienceId, store, principal);
  const touchpoints = await touchpointsOf(experienceId, store, principal);
  const counts = await store
    .collection(countModel)
    .of(principal.workspace)
    .getMany(touchpoints.map(({ id }) => id));
  return {
    totalTouchpoints: touchpoints.length,
    touchpoints: touchpoints.map((touchpoint) => ({
      ...namesOf(touchpoint),
      totalVisits: BigInt(counts.get(touchpoint.id)?.total ?? 0),
      uniqueVisits: BigInt(counts.get(touchpoint.id)?.unique ?? 0),
    })),
  };
}

async function userMetrics({ experienceId, userId }: About<"USER">, store: Store, principal: Principal) {
  await findExperience(experienceId, store, principal);
  const collection = store.collection(visitModel).of(principal.workspace);
  const user = { test: principal.test, userId };
  const visits = await collection.find({ where: { ...user, experienceId }, sort: [["at", 1]] });
  if (visits.length === 0 && (await collection.find({ where: user, limit: 1 })).length === 0)
    throw fail("USER_NOT_FOUND", { field: "user_id" });
  const times = Map.groupBy(visits, ({ touchpointId }) => touchpointId);
  const touchpoints = await store
    .collection(touchpointModel)
    .of(principal.workspace)
    .getMany([...times.keys()]);
  const inOrder = [...touchpoints.values()].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  return {
    totalTouchpoints: inOrder.length,
    touchpoints: inOrder.map((touchpoint) => {
      const own = times.get(touchpoint.id) ?? [];
      const timestampsUtc = own.map(({ at }) => timestampFromMs(at));
      return { ...namesOf(touchpoint), totalVisits: BigInt(own.length), timestampsUtc };
    }),
  };
}

async function touchpointMetrics(question: About<"TOUCHPOINT">, store: Store, principal: Principal): Promise<Metrics> {
  const { touchpointId, experienceId, page } = question;
  if (experienceId !== undefined) await findExperience(experienceId, store, principal);
  const touchpoint = await findTouchpoint(touchpointId, store, principal);
  if (experienceId !== undefined && touchpoint.experienceId !== experienceId) throw fail("TOUCHPOINT_NOT_FOUND");
  const counts = await store.collection(countModel).of(principal.workspace).get(touchpointId);
  const pagination = toPagination(page);
  const window = { where: { touchpointId }, limit: page.pageSize, skip: page.offset };
  if (question.visits === "UNIQUE") {
    const visitors = store.collection(visitorModel).of(principal.workspace);
    const found = await visitors.find({ ...window, sort: [["first", 1]] });
    const items = found.map(({ userId, first }) => toVisitLine(userId, first));
    const uniqueVisits = BigInt(counts?.unique ?? 0);
    const touchpoints = { ...namesOf(touchpoint), uniqueVisits, uniqueVisitsDetails: { items, pagination } };
    return { case: "unique", value: { touchpoints } };
  }
  const visits = store.collection(visitModel).of(principal.workspace);
  const found = await visits.find({ ...window, sort: [["at", 1]] });
  const items = found.map(({ userId, at }) => toVisitLine(userId, at));
  const totalVisits = BigInt(counts?.total ?? 0);
  const touchpoints = { ...namesOf(touchpoint), totalVisits, totalVisitsDetails: { items, pagination } };
  return { case: "total", value: { touchpoints } };
}

function namesOf({ id, name, value }: TouchpointDoc) {
  return { id, name, value };
}
