import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { CodeService } from "#gen/waymark/codes/v1/codes_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import { JobService } from "#gen/waymark/codes/v1/jobs_pb.ts";
import { LinkService } from "#gen/waymark/codes/v1/links_pb.ts";
import { type ObjectChanged, ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { readConfig } from "#runtime/config.ts";
import type { Principal } from "#runtime/context.ts";
import { hostServices } from "#runtime/host.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import { openLogger } from "#runtime/logger.ts";
import { defineService } from "#runtime/service.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import { codes } from "./service.ts";

/** For tests: the codes service in this process over a real store and log in a temporary folder, with two small neighbours. */
export async function openBench() {
  const folder = await mkdtemp(join(tmpdir(), "codes-"));
  const store = openSqliteStore({ path: join(folder, "store.db"), models: codes.collections });
  const log = await openSqliteLog({ path: join(folder, "log.db") });
  const counts = new Map<string, bigint>();
  const audited: string[] = [];
  const clock = { now: Date.parse("2026-03-20T12:00:00.000Z"), scansDown: false, auditDown: false, countCalls: 0 };
  const neighbours = defineService({
    name: "neighbours",
    collections: [],
    calls: [],
    publishes: [],
    consumes: [],
    routes: (router) => {
      router.service(IntakeService, {
        countScans: ({ codeIds }) => {
          clock.countCalls++;
          if (clock.scansDown) throw new Error("down");
          return { totals: codeIds.map((id) => counts.get(id) ?? 0n) };
        },
      });
      router.service(AuthorityService, {
        appendAudit: ({ items }) => {
          if (clock.auditDown) throw new Error("down");
          audited.push(...items.map(({ action, object }) => `${action} ${object}`));
          return {};
        },
      });
    },
  });
  const config = readConfig({ WAYMARK_PUBLIC_URL: "https://qr.example.com" });
  const ground = { config, store, log, secrets: { key: () => Buffer.alloc(32) }, announce: () => undefined };
  const hosted = await hostServices([codes, neighbours], { ...ground, logger: openLogger("silent") });
  const caller = (workspace: string, changed: Partial<Principal> = {}) => {
    const context = internalContext(workspace);
    return as({
      ...context,
      now: () => clock.now,
      principal: { ...context.principal, keyClass: "production", ...changed },
    });
  };
  return {
    store,
    log,
    codes: hosted.client(CodeService),
    links: hosted.client(LinkService),
    jobs: hosted.client(JobService),
    gauges: hosted.gauges,
    directory: hosted.client(DirectoryService),
    counts,
    audited,
    clock,
    caller,
    internal: (workspace: string) => as({ ...internalContext(workspace), now: () => clock.now }),
    async changes(): Promise<ObjectChanged[]> {
      const changes: ObjectChanged[] = [];
      for await (const chunk of log.read({ after: 0, subjects: ["codes.changed"] }))
        changes.push(...chunk.map(({ payload }) => fromBinary(ObjectChangedSchema, payload)));
      return changes;
    },
    async close() {
      await hosted.stop();
      await log.close();
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** What `openBench` gives. */
export type Bench = Awaited<ReturnType<typeof openBench>>;
