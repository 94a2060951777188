import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type JobSchema, type JobService, JobStatus, JobType } from "#gen/waymark/codes/v1/jobs_pb.ts";
import type { CreateLinkRequest } from "#gen/waymark/codes/v1/links_pb.ts";
import { publicUrlOf } from "#runtime/config.ts";
import { contextOf } from "#runtime/context.ts";
import { truncateIp } from "#runtime/place/address.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { LEASE_MS } from "#runtime/tasks.ts";
import { type JobDoc, type JobState, jobModel, jobPartModel } from "./job-model.ts";
import { KEPT_MS, tasksOf } from "./job-runner.ts";
import { draftOf } from "./links.ts";
import { fail } from "./reasons.ts";

/** Jobs of a workspace that are not done yet, at most. */
const MOST_OPEN = 20;

/** Codes of one part: with the largest metadata they are far from what a store takes as one document. */
const PART = 25;

/** Handlers of JobService. */
export function jobHandlers(deps: ServiceDeps): ServiceImpl<typeof JobService> {
  return {
    async createBulkLinksJob({ links }, handler) {
      const job = toJob(await begin(deps, links, handler));
      handler.responseHeader.set("location", `${publicUrlOf(deps.config)}/analytics${job.statusUrl}`);
      return { job };
    },
    async getJob({ id }, handler) {
      const { workspace, test } = contextOf(handler).principal;
      const doc = await deps.store.collection(jobModel).of(workspace).get(id);
      if (doc === undefined || doc.test !== test) throw fail("JOB_NOT_FOUND", { id });
      return { job: toJob(doc) };
    },
  };
}

/** Stores all that a job needs. Its task comes first, held by nobody's name: without the job it ends by itself. */
async function begin(deps: ServiceDeps, links: readonly CreateLinkRequest[], handler: HandlerContext): Promise<JobDoc> {
  const context = contextOf(handler);
  const { workspace, test, keyId, keyName, keyClass } = context.principal;
  const jobId = context.newId("job");
  const drafts = links.map((link, i) => {
    const draft = draftOf(link, `links[${i}].`);
    return { ...draft, id: draft.id ?? context.newId("qpr"), jobId };
  });
  const jobs = deps.store.collection(jobModel).of(workspace);
  if ((await jobs.count({ state: { in: ["pending", "running"] } })) >= MOST_OPEN)
    throw fail("JOBS_BUSY", { most: MOST_OPEN });
  const at = deps.now();
  const task = { id: jobId, workspaceId: workspace, isOpen: true, createdAt: at, expiresAt: at + KEPT_MS };
  await tasksOf(deps.store).insert({ ...task, owner: "beginning", leaseUntil: at + LEASE_MS });
  const parts = Array.from({ length: Math.ceil(drafts.length / PART) }, (_, number) => {
    const some = drafts.slice(number * PART, (number + 1) * PART);
    return { id: `${jobId}/${number}`, jobId, number, drafts: JSON.parse(JSON.stringify(some)) };
  });
  await deps.store
    .collection(jobPartModel)
    .of(workspace)
    .bulk(parts.map((doc) => ({ kind: "insert", doc })));
  const doc: JobDoc = {
    ...{ id: jobId, test, state: "pending", linkIds: drafts.map(({ id }) => id), createdAt: context.now() },
    caller: { keyId, keyName, keyClass, requestId: context.requestId, ip: truncateIp(context.ip) },
  };
  await jobs.insert(doc);
  await tasksOf(deps.store).update(jobId, { set: { leaseUntil: 0 }, unset: ["owner"] });
  return doc;
}

const STATUSES: Readonly<Record<JobState, JobStatus>> = {
  pending: JobStatus.PENDING,
  running: JobStatus.RUNNING,
  succeeded: JobStatus.SUCCEEDED,
  failed: JobStatus.FAILED,
};

function toJob({ id, state, linkIds, error, createdAt, completedAt }: JobDoc) {
  return {
    id,
    type: JobType.LINKS_BULK_CREATE,
    status: STATUSES[state],
    itemCount: linkIds.length,
    statusUrl: `/v1/jobs/${id}`,
    linksBulkCreate: state === "succeeded" ? { linkIds: [...linkIds] } : undefined,
    error,
    createdAt: timestampFromMs(createdAt),
    completedAt: completedAt === undefined ? undefined : timestampFromMs(completedAt),
  } satisfies MessageInitShape<typeof JobSchema>;
}
