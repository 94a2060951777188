import type { ServiceImpl } from "@connectrpc/connect";
import type { TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { audit } from "./audit.ts";
import { readFlow } from "./flow.ts";
import { toExperience, toPagination, toTouchpoint } from "./messages.ts";
import { answer } from "./metrics.ts";
import { type ExperienceDoc, experienceModel, type TouchpointDoc, touchpointModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { experienceOf, readPage, readQuestion } from "./rules.ts";
import { recordScans } from "./scans.ts";
import { findExperience } from "./store.ts";

type Handlers = ServiceImpl<typeof TouchpointService>;

/** The Touchpoints API. */
export function touchpointHandlers(deps: ServiceDeps): Handlers {
  return { ...metricsHandlers(deps), ...experienceHandlers(deps), ...touchpointListHandlers(deps) };
}

function metricsHandlers(
  deps: ServiceDeps,
): Pick<Handlers, "getTouchpointMetrics" | "getTouchpointFlow" | "recordTouchpointScans"> {
  return {
    async getTouchpointMetrics(request, handler) {
      const { principal } = contextOf(handler);
      return { metrics: await answer(readQuestion(request), deps.store, principal) };
    },
    getTouchpointFlow: async (request, handler) =>
      readFlow(experienceOf(request), deps.store, contextOf(handler).principal),
    recordTouchpointScans: (request, handler) => recordScans(request, handler, deps),
  };
}

function experienceHandlers(deps: ServiceDeps): Pick<Handlers, "createExperience" | "listExperiences"> {
  const experiences = deps.store.collection(experienceModel);
  return {
    async createExperience({ id, name, value }, handler) {
      const { principal, newId, now } = contextOf(handler);
      const doc: ExperienceDoc = { id: id ?? newId("exp"), name, value, test: principal.test, createdAt: now() };
      const outcome = await experiences.of(principal.workspace).insert(doc);
      if (outcome.kind === "exists") throw fail("ID_TAKEN", { field: "id", id: doc.id });
      if (outcome.kind === "conflict") throw fail("VALUE_TAKEN", { field: "value", value });
      await audit(deps, { action: "experiences.create", object: doc.id }, handler);
      return { experience: toExperience(doc) };
    },
    async listExperiences(request, handler) {
      const { principal } = contextOf(handler);
      const page = readPage(request);
      const where = { test: principal.test };
      const own = experiences.of(principal.workspace);
      const query = { where, sort: [["createdAt", 1]], limit: page.pageSize, skip: page.offset } as const;
      const [found, total] = await Promise.all([own.find(query), own.count(where)]);
      return {
        totalExperiences: BigInt(total),
        experiences: found.map(toExperience),
        pagination: toPagination(page),
      };
    },
  };
}

function touchpointListHandlers(deps: ServiceDeps): Pick<Handlers, "createTouchpoint" | "listTouchpoints"> {
  const { store } = deps;
  const touchpoints = store.collection(touchpointModel);
  return {
    async createTouchpoint({ id, experienceId, name, value }, handler) {
      const { principal, newId, now } = contextOf(handler);
      await findExperience(experienceId, store, principal);
      const createdAt = now();
      const doc: TouchpointDoc = { id: id ?? newId("tp"), experienceId, name, value, test: principal.test, createdAt };
      const outcome = await touchpoints.of(principal.workspace).insert(doc);
      if (outcome.kind === "exists") throw fail("ID_TAKEN", { field: "id", id: doc.id });
      if (outcome.kind === "conflict") throw fail("VALUE_TAKEN", { field: "value", value });
      await audit(deps, { action: "touchpoints.create", object: doc.id }, handler);
      return { touchpoint: toTouchpoint(doc) };
    },
    async listTouchpoints(request, handler) {
      const { principal } = contextOf(handler);
      const page = readPage(request);
      if (request.experienceId !== "") await findExperience(request.experienceId, store, principal);
      const where = request.experienceId === "" ? { test: principal.test } : { experienceId: request.experienceId };
      const own = touchpoints.of(principal.workspace);
      const query = { where, sort: [["createdAt", 1]], limit: page.pageSize, skip: page.offset } as const;
      const [found, total] = await Promise.all([own.find(query), own.count(where)]);
      return {
        totalTouchpoints: BigInt(total),
        touchpoints: found.map(toTouchpoint),
        pagination: toPagination(page),
      };
    },
  };
}
