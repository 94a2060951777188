import type { Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { HOUSE_KEYS, MEDICAL, makeTag } from "./house-keys.ts";

/** The id that stands for a variable of a path, by the segment before it: "qpr-codes" → "code-1". */
export type Ids = Readonly<Record<string, string>>;

/** Makes one object of every kind in the workspace of a key and answers with their ids. */
export async function makeOneOfEach(waymark: Waymark, given: { key: string; workspace: string }): Promise<Ids> {
  const { key, workspace } = given;
  const post = async (path: string, body: unknown) => {
    const answer = await waymark.call("POST", path, { key, body });
    if (answer.status >= 300) throw new Error(`${path} answered ${answer.status}: ${answer.text}`);
    return answer.body;
  };
  const code = await makeCode(waymark, key, { id: "code-1", destination: "https://example.com" });
  await sendScans(waymark, key, [{ id: "scan-1", qpr_code_id: code.id, device_id: "device-1" }]);
  await post("/analytics/v1/links", { destination: "https://example.com", id: "link-1" });
  const job = await post("/analytics/v1/links/bulk/jobs", { links: [{ destination: "https://example.com" }] });
  await eventually(async () => {
    const { body } = await waymark.call("GET", `/analytics/v1/jobs/${job.id}`, { key });
    if (body.status !== "JOB_STATUS_SUCCEEDED") throw new Error(`the job is ${body.status}`);
  });
  await post("/api/v1/programs", { id: "prog-1", name: "P", landing_url: "https://example.com" });
  await post("/api/v1/users", {
    id: "user-1",
    first_name: "A",
    last_name: "B",
    email: "a@example.com",
    program_id: "prog-1",
  });
  await post("/api/v1/posters", { id: "poster-1", program_id: "prog-1", student_id: "user-1" });
  await post("/api/v1/impressions", { impressions: [{ id: "imp-1", poster_id: "poster-1" }] });
  await waymark.idle();
  const person = { first_name: "A", last_name: "B", email: "a@example.com" };
  await post("/api/v1/referrals", { id: "ref-1", impression_id: "imp-1", ...person });
  await post("/api/v1/earnings", { id: "earn-1", referral_id: "ref-1", amount: 1 });
  const tag = await makeTag(waymark, key, { ...HOUSE_KEYS, id: "tag-1" });
  await waymark.call("PUT", "/api/v1/tags/tag-1/emergency", { key, body: MEDICAL });
  const contact = await post(`/api/v1/scan/${tag.encryptedId}/contact`, { message: "Hello" });
  const [thread] = (await waymark.call("GET", "/api/v1/threads", { key })).body.data;
  const [notice] = (await waymark.call("GET", "/api/v1/notifications", { key })).body.data;
  await post("/v3/experiences", { id: "exp-1", name: "E", value: "e" });
  await post("/v3/touchpoints", { id: "tp-1", experienceId: "exp-1", name: "T", value: "t" });
  const made = await post("/waymark/v1/keys", { name: "K", scopes: ["scans:read"] });
  const old = await post("/v1/api-keys", { name: "O" });
  const { visitorId, modelId } = await analyticsOf(waymark, key);
  const token = await post("/analytics/v1/workspace-tokens", { keyType: "WORKSPACE_TOKEN_KEY_TYPE_SECRET" });
  const behaviours = [{ linkId: code.id }];
  const segment = await post("/analytics/v1/segments", { name: "S", behaviours });
  const revised = await post("/analytics/v1/revisions", {
    ...{ startDate: "2020-01-01T00:00:00Z", endDate: "2020-01-02T00:00:00Z", rules: { bots: { builtIn: true } } },
  });
  const exported = await post("/analytics/v1/exports", { format: "NDJSON" });
  await eventually(async () => {
    const { body } = await waymark.call("GET", `/analytics/v1/exports/${exported.id}`, { key });
    if (body.status !== "DONE") throw new Error(`the export is ${body.status}`);
  });
  return {
    "qpr-codes": code.id,
    scans: "scan-1",
    links: code.id,
    events: "scan-1",
    "lead-score": "scan-1",
    visitors: visitorId,
    attributes: "favourite-room",
    jobs: job.id,
    models: modelId,
    "workspace-tokens": token.token.id,
    segments: segment.segment.id,
    exports: exported.id,
    revisions: revised.revision.id,
    files: "1",
    programs: "prog-1",
    users: "user-1",
    posters: "poster-1",
    impressions: "imp-1",
    referrals: "ref-1",
    earnings: "earn-1",
    tags: "tag-1",
    scan: tag.encryptedId,
    thread: contact.data.threadToken,
    threads: thread.id,
    notifications: notice.id,
    keys: made.key.id,
    "api-keys": old.id,
    organizations: workspace,
  };
}

/** The visitor of the scan, and a model: one that was refused for want of visitors is an object too. */
async function analyticsOf({ call }: Waymark, key: string): Promise<{ visitorId: string; modelId: string }> {
  const event = await eventually(async () => {
    const { body } = await call("GET", "/analytics/v1/events", { key });
    if (body.json?.events.length !== 1) throw new Error(`analytics has not one event: ${JSON.stringify(body)}`);
    return body.json.events[0];
  });
  await call("POST", "/analytics/v1/scoring/models", { key, body: {} });
  const [model] = (await call("GET", "/analytics/v1/scoring/models", { key })).body.models;
  return { visitorId: event.visitorId, modelId: model.id };
}

/** Every list that a key can read. */
const LISTS = [
  "/v1/qpr-codes",
  "/v1/scans?include_bots=true",
  "/v1/api-keys",
  "/v1/organizations",
  "/api/v1/programs",
  "/api/v1/users",
  "/api/v1/posters",
  "/api/v1/impressions",
  "/api/v1/referrals",
  "/api/v1/earnings",
  "/api/v1/tags",
  "/api/v1/tags/tag-1/emergency",
  "/api/v1/tags/tag-1/scans",
  "/api/v1/threads",
  "/api/v1/notifications",
  "/v3/experiences",
  "/v3/touchpoints",
  "/analytics/v1/links",
  "/waymark/v1/keys",
  "/waymark/v1/workspace",
  "/waymark/v1/ledger",
];

/** Everything that a key can read, apart from when keys were last used. */
export async function everything({ call, idle }: Waymark, key: string): Promise<Record<string, unknown>> {
  await idle();
  const entries: [string, unknown][] = [];
  for (const path of LISTS) {
    const { status, text } = await call("GET", path, { key });
    const body = text.replace(/"last(?:_u|U)sed(?:_a|A)t":(?:null|"[^"]*")/g, "");
    entries.push([path, [status, body]]);
  }
  return Object.fromEntries(entries);
}
