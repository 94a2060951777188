import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { CodeStatus } from "#gen/waymark/codes/v1/codes_pb.ts";
import { type Job, JobStatus, JobType } from "#gen/waymark/codes/v1/jobs_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { createCodes } from "./create.ts";
import { type JobDoc, jobModel, jobPartModel, jobTaskModel } from "./job-model.ts";
import { codeModel } from "./model.ts";
import { type Bench, openBench } from "./test-bench.ts";

let bench: Bench;
let me: ReturnType<Bench["caller"]>;
let workspace: string;
let turn = 0;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(() => {
  workspace = `workspace-${turn++}`;
  me = bench.caller(workspace, { keyId: "key_7" });
});

const destination = "https://example.com";
const LIMIT = { timeout: 10_000, interval: 50 };

async function begin(links: object[], by = me): Promise<Job> {
  const { job } = await bench.jobs.createBulkLinksJob({ links: links.map((one) => ({ destination, ...one })) }, by);
  if (job === undefined) throw new Error("no job");
  return job;
}

const show = async (id: string, by = me) => (await bench.jobs.getJob({ id }, by)).job as Job;

async function ended(id: string, by = me): Promise<Job> {
  await expect.poll(async () => (await show(id, by)).completedAt !== undefined, LIMIT).toBe(true);
  return show(id, by);
}

const total = async () => (await bench.links.listLinks({}, me)).totalCount;
const refused = (call: Promise<unknown>) =>
  call.then(
    () => "answered",
    (error: ConnectError) => `${Code[error.code]}: ${error.rawMessage}`,
  );
const partsLeft = (id: string) => bench.store.collection(jobPartModel).of(workspace).count({ jobId: id });
const tasks = () => bench.store.collection(jobTaskModel).of(SYSTEM_WORKSPACE);

describe("a job", () => {
  it("answers at once, makes the links in their order, in the name of who began it, and tells of them", async () => {
    const links = Array.from({ length: 60 }, (_, n) => ({ name: `Link ${n}`, tags: ["job"], metadata: { n: `${n}` } }));
    const begun = await begin(links);
    expect(begun).toMatchObject({ type: JobType.LINKS_BULK_CREATE, itemCount: 60, statusUrl: `/v1/jobs/${begun.id}` });
    expect([begun.linksBulkCreate, begun.error, begun.completedAt]).toEqual([undefined, undefined, undefined]);
    const job = await ended(begun.id);
    expect([job.status, job.error]).toEqual([JobStatus.SUCCEEDED, undefined]);
    const linkIds = job.linksBulkCreate?.linkIds ?? [];
    const made = await Promise.all(linkIds.map((id) => bench.links.getLink({ id }, me)));
    expect(made.map(({ link }) => [link?.name, link?.metadata.n, link?.tags[0]?.name])).toEqual(
      links.map(({ name }, n) => [name, `${n}`, "job"]),
    );
    expect(await total()).toBe(60n);
    expect(bench.audited).toContain(`codes.create ${linkIds[0]}`);
    expect((await bench.changes()).map(({ objectId }) => objectId)).toEqual(expect.arrayContaining(linkIds));
    expect(await partsLeft(job.id)).toBe(0);
  });

  it("keeps all that a link can be asked for", async () => {
    const shortlink = `job-${turn}`;
    const routing = { rules: [{ name: "early", when: { scansBelow: 7n }, destination: "https://early.example" }] };
    const { id } = await begin([{ id: "mine", shortlink, routing, conversionTracking: true }]);
    await ended(id);
    const { link } = await bench.links.getLink({ id: "mine" }, me);
    expect(link).toMatchObject({ shortlink, conversionTracking: true, name: "example.com" });
    expect(link?.routing?.rules[0]).toMatchObject(routing.rules[0] as object);
  });

  it("of which one shortlink is taken fails with what the call would have said, and makes nothing", async () => {
    const taken = (await bench.links.createLink({ destination }, me)).link?.shortlink;
    const job = await ended((await begin([{ shortlink: `free-${turn}` }, { shortlink: taken }])).id);
    expect(job).toMatchObject({
      status: JobStatus.FAILED,
      error: { codeType: "ALREADY_EXISTS", message: expect.stringMatching(/^links\[1\]\.shortlink is taken/) },
    });
    expect([job.linksBulkCreate, await total(), await partsLeft(job.id)]).toEqual([undefined, 1n, 0]);
    expect((await bench.links.checkShortlink({ shortlink: `free-${turn}` }, me)).available).toBe(true);
  });

  it.each<[string, object[], RegExp]>([
    ["no links", [], /^InvalidArgument: links /],
    ["more than a thousand", Array.from({ length: 1001 }, () => ({})), /^InvalidArgument: links /],
    ["a wrong destination", [{}, { destination: "nowhere" }], /^InvalidArgument: links\[1\]\.destination /],
    ["a wrong tag", [{ tags: [""] }], /^InvalidArgument: links\[0\]\.tags/],
  ])("is not begun with %s", async (_case, links, message) => {
    expect(await refused(begin(links))).toMatch(message);
  });

  it("is seen in its workspace and world alone", async () => {
    const { id } = await begin([{}]);
    for (const by of [bench.caller(`${workspace}-other`), bench.caller(workspace, { test: true })])
      expect(await refused(show(id, by))).toBe(`NotFound: job ${id} does not exist`);
    const tester = bench.caller(workspace, { test: true });
    const tested = await ended((await begin([{}], tester)).id, tester);
    const [linkId = ""] = tested.linksBulkCreate?.linkIds ?? [];
    expect(await refused(bench.links.getLink({ id: linkId }, me))).toMatch(/^NotFound/);
    expect((await bench.links.getLink({ id: linkId }, tester)).link?.id).toBe(linkId);
  });

  it("has to wait when twenty of the workspace are not done", async () => {
    const jobs = bench.store.collection(jobModel).of(workspace);
    for (let n = 0; n < 20; n += 1) await jobs.insert(jobOf({ id: `waiting-${n}` }));
    expect(await refused(begin([{}]))).toMatch(/^ResourceExhausted/);
    await jobs.update("waiting-3", { set: { state: "failed" } });
    expect((await ended((await begin([{}])).id)).status).toBe(JobStatus.SUCCEEDED);
  });
});

function jobOf({ id, linkIds = [] }: { id: string; linkIds?: string[] }): JobDoc {
  const caller = { keyId: "key_7", keyName: "K", keyClass: "production", requestId: "req_1", ip: "" };
  return { id, test: false, state: "pending", linkIds, caller, createdAt: 1 };
}

describe("a job that a process has left behind", () => {
  const draftsOf = (jobId: string) =>
    ["a", "b", "c"].map((name) => ({
      ...{
        id: `${jobId}-${name}`,
        jobId,
        name,
        prompt: "",
        destination,
        metadata: {},
        tags: [],
        purpose: Purpose.MARKETING,
        status: CodeStatus.ACTIVE,
      },
      ...{ shortId: `${jobId}-${name}`, called: { id: "id", shortId: "shortlink" } },
    }));

  /** Stores a job, of which so many codes were made before the process died. */
  async function leave(jobId: string, madeBefore: number): Promise<string[]> {
    const drafts = draftsOf(jobId);
    const linkIds = drafts.map(({ id }) => id);
    await createCodes(bench.store, drafts, contextFor(workspace));
    const gone = linkIds.slice(madeBefore);
    await bench.store
      .collection(codeModel)
      .of(workspace)
      .bulk(gone.map((id) => ({ kind: "delete", id })));
    const part = { id: `${jobId}/0`, jobId, number: 0, drafts };
    await bench.store.collection(jobPartModel).of(workspace).insert(part);
    await bench.store
      .collection(jobModel)
      .of(workspace)
      .insert({ ...jobOf({ id: jobId, linkIds }), state: "running" });
    const task = { id: jobId, workspaceId: workspace, isOpen: true, createdAt: 1, expiresAt: Date.now() + 60_000 };
    await tasks().insert({ ...task, owner: "somebody who died", leaseUntil: Date.now() + 300 });
    return linkIds;
  }

  const contextFor = (id: string) => ({
    ...{ requestId: "req_1", ip: "", userAgent: "", now: () => 1, newId: (prefix: string) => `${prefix}_x` },
    principal: {
      ...{ workspace: id, keyId: "key_7", keyName: "K", keyClass: "production" as const, scopes: [], test: false },
    },
  });

  it.each([0, 1, 2, 3])("is done by another when %i of its 3 links were made", async (madeBefore) => {
    const jobId = `left-${turn}-${madeBefore}`;
    const linkIds = await leave(jobId, madeBefore);
    const job = await ended(jobId);
    expect([job.status, job.linksBulkCreate?.linkIds]).toEqual([JobStatus.SUCCEEDED, linkIds]);
    expect(await total()).toBe(3n);
    const names = await Promise.all(linkIds.map(async (id) => (await bench.links.getLink({ id }, me)).link?.name));
    expect(names).toEqual(["a", "b", "c"]);
    expect((await bench.changes()).map(({ objectId }) => objectId)).toEqual(expect.arrayContaining(linkIds));
  });

  it("ends by itself when it was not stored before the process died", async () => {
    const id = `unborn-${turn}`;
    const task = { id, workspaceId: workspace, isOpen: true, createdAt: 1, expiresAt: Date.now() + 60_000 };
    await tasks().insert({ ...task, owner: "beginning", leaseUntil: Date.now() - 1 });
    await bench.store
      .collection(jobPartModel)
      .of(workspace)
      .insert({ id: `${id}/0`, jobId: id, number: 0, drafts: [] });
    await expect.poll(() => tasks().get(id), LIMIT).toBeUndefined();
    expect(await partsLeft(id)).toBe(0);
  });

  it("is done again when the log did not hear of it, and makes no link twice", async () => {
    vi.spyOn(bench.log, "append").mockRejectedValueOnce(new Error("the log is away"));
    const job = await ended((await begin([{ shortlink: `once-${turn}` }, {}])).id);
    expect([job.status, await total()]).toEqual([JobStatus.SUCCEEDED, 2n]);
    const linkIds = job.linksBulkCreate?.linkIds ?? [];
    expect((await bench.changes()).map(({ objectId }) => objectId)).toEqual(expect.arrayContaining(linkIds));
  });
});

it("a job is removed when its time is over", async () => {
  const { id } = await ended((await begin([{}])).id);
  await tasks().update(id, { set: { expiresAt: Date.now() - 1 } });
  await expect.poll(() => refused(show(id)), LIMIT).toMatch(/^NotFound/);
  await expect.poll(() => tasks().get(id), LIMIT).toBeUndefined();
  expect(await total()).toBe(1n);
});
